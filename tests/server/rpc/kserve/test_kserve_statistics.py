"""Counts of requests: a tenant's own, by model and version."""

from icecore.server.embedding.embedder import Timings
from icecore.server.rpc.kserve.statistics import Statistics

SPENT = Timings(queue_ms=2.0, decode_ms=3.0, compute_ms=5.0, total_ms=11.0)
KNOWN = Timings(queue_ms=0.0, decode_ms=0.0, compute_ms=0.0, total_ms=1.0, n_cached=4)


def _succeed(statistics: Statistics, tenant_id: str = "t", *, spent: Timings = SPENT) -> None:
    statistics.succeeded(
        tenant_id, "toy", 1, n_images=4, timings=spent, output_s=0.001, total_s=0.02
    )


def test_times_add_up_in_nanoseconds() -> None:
    statistics = Statistics(is_caching=True)
    for _ in range(3):
        _succeed(statistics)
    statistics.failed("t", "toy", 1, total_s=0.5)
    told = statistics.message("t", "toy", 1)
    assert (told.name, told.version) == ("toy", "1")
    assert (told.inference_count, told.execution_count) == (12, 3)
    spent = told.inference_stats
    counted = {
        field.name: (getattr(spent, field.name).count, getattr(spent, field.name).ns)
        for field in spent.DESCRIPTOR.fields
    }
    assert counted == {
        "success": (3, 60_000_000),
        "fail": (1, 500_000_000),
        "queue": (3, 6_000_000),
        "compute_input": (3, 9_000_000),
        "compute_infer": (3, 15_000_000),
        "compute_output": (3, 3_000_000),
        "cache_hit": (0, 0),
        "cache_miss": (3, 0),
    }


def test_what_was_known_is_a_hit_and_computed_nothing() -> None:
    statistics = Statistics(is_caching=True)
    _succeed(statistics, spent=KNOWN)
    spent = statistics.message("t", "toy", 1).inference_stats
    assert (spent.cache_hit.count, spent.cache_hit.ns) == (1, 20_000_000)
    assert (spent.cache_miss.count, spent.compute_infer.count, spent.queue.count) == (0, 0, 0)
    assert spent.success.count == 1


def test_without_a_cache_there_are_neither_hits_nor_misses() -> None:
    """Else perf_analyzer complains; what is shared by callers at the same time is no hit."""
    statistics = Statistics(is_caching=False)
    for spent in (SPENT, KNOWN):
        _succeed(statistics, spent=spent)
    spent_ns = statistics.message("t", "toy", 1).inference_stats
    assert (spent_ns.success.count, spent_ns.compute_infer.count) == (2, 2)
    assert not spent_ns.cache_hit.count + spent_ns.cache_hit.ns
    assert not spent_ns.cache_miss.count + spent_ns.cache_miss.ns


def test_nobody_counts_for_another_and_the_deleted_are_forgotten() -> None:
    statistics = Statistics(is_caching=True)
    _succeed(statistics, "t")
    _succeed(statistics, "u")
    _succeed(statistics, "u")
    counts = {one: statistics.message(one, "toy", 1).execution_count for one in "tuv"}
    assert counts == {"t": 1, "u": 2, "v": 0}
    statistics.forget("u")
    counts = {one: statistics.message(one, "toy", 1).execution_count for one in "tuv"}
    assert counts == {"t": 1, "u": 0, "v": 0}
    assert statistics.version_known("u", "toy", "") is None


def test_a_version_is_known_once_it_has_answered() -> None:
    statistics = Statistics(is_caching=True)
    assert statistics.version_known("t", "toy", "") is None
    assert statistics.version_known("t", "toy", "1") is None
    _succeed(statistics)
    assert statistics.version_known("t", "toy", "") == 1
    assert statistics.version_known("t", "toy", "1") == 1
    for other in ("2", "x", "-1", "9" * 50):
        assert statistics.version_known("t", "toy", other) is None
