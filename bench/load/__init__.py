"""Load for the benches: servers as process trees, requests that differ, a generator of its own.

    with serving(command, environment) as tree, Generator() as generator:
        outcome = generator.run(Job(target, body, concurrency=8, seconds=5, pid=tree.pid))
        outcome.rate, outcome.server_cpu_ms, percentile(outcome.ms, 99)

Nothing here knows icecore but `icecore_server`.
"""
