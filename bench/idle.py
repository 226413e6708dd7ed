"""What does a server take that nobody calls, and how soon does it answer its first Embed?

Starts `icecore serve` on a folder that has the default backbone, N times, with a client
waiting at its port: time to the log line "serving" with its phases, and to the first codes.
Then leaves it alone for some seconds and prints processor time, threads and memory;
then calls it from many sides at once and prints the most threads it had. The laws: codes
within 3 s of each start, under 1 % of a core, and no more threads than the cores it may use
and a constant.

Usage: python bench/idle.py [--starts N] [--seconds S]
"""

import argparse
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from icecore.client import Client
from icecore.server.cores import usable_cores
from process_facts import cpu_s, n_threads, resident_mb, thread_names
from restarting import Clients, Restarting
from servers import START_S, start

SERVE = (Path(sys.executable).parent / "icecore", "serve")
"""The console script, which then becomes the server."""

FIRST_CODES_S = 3.0
IDLE_SHARE = 0.01
THREADS_BESIDE_CORES = 64
"""32 that wait for the disk, 2 that search, gRPC's own (up to about 20 with its timers), the
loop, the store's writer, and one that makes sessions ahead."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        start(data, "--until-idle", "0.1").communicate()  # the default backbone is built once
        first_s = [_first_codes(data) for _ in range(options.starts)]
        share, threads, busy_threads = _idle_and_busy(data, options.seconds)
    cores = usable_cores()
    print(f"first codes after s: median {statistics.median(first_s):.2f}, most {max(first_s):.2f}")
    print(f"idle: {100 * share:.2f} % of a core, {threads} threads; busy: {busy_threads} threads")
    print(f"cores: {cores}; threads allowed: {cores} + {THREADS_BESIDE_CORES}")
    met = (
        max(first_s) <= FIRST_CODES_S
        and share < IDLE_SHARE
        and max(threads, busy_threads) <= cores + THREADS_BESIDE_CORES
    )
    print("met" if met else "NOT met")
    return 0 if met else 1


def _first_codes(data: Path) -> float:
    """Start a server, with one who calls until it answers; print its phases."""
    with _served(data, wait=False) as (server, began):
        _wait_until_it_listens(server.address)
        with Client(server.address) as client:
            client.embed([Clients(server).image()], timeout_s=60)
        took, cpu = time.monotonic() - began, cpu_s(server.pid)
        server.wait()
        phases = ", ".join(f"{name} {ms}" for name, ms in server.fields["start_ms"].items())
        print(f"codes after {took:.2f} s ({cpu:.2f} s of processor time); ms: {phases}")
        return took


def _wait_until_it_listens(address: str) -> None:
    """Knock every 10 ms: gRPC would knock ever more rarely, and add up to a second of its own."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise SystemExit("the server did not start")


def _idle_and_busy(data: Path, seconds: float) -> tuple[float, int, int]:
    with _served(data) as (server, _):
        with Client(server.address) as client:
            client.embed([Clients(server).image()])
        time.sleep(1.0)
        before = cpu_s(server.pid)
        time.sleep(seconds)
        share = (cpu_s(server.pid) - before) / seconds
        threads = n_threads(server.pid)
        print(f"idle: {resident_mb(server.pid):.0f} MB; threads: {_shown(server.pid)}")
        most = 0
        with Clients(server).at_work():
            more = [_Caller(server.address) for _ in range(16)]
            end = time.monotonic() + 5
            while time.monotonic() < end:
                most = max(most, n_threads(server.pid))
                time.sleep(0.05)
            print(f"busy: {resident_mb(server.pid):.0f} MB; threads: {_shown(server.pid)}")
            for caller in more:
                caller.stop()
        return share, threads, most


@contextmanager
def _served(data: Path, *, wait: bool = True) -> Iterator[tuple[Restarting, float]]:
    server = Restarting(data, "--threads", "0", program=SERVE)
    try:
        began = server.begin()
        if wait:
            server.wait()
        yield server, began
        server.end()
    finally:
        server.close()


class _Caller:
    """Lists collections without pause, each in the store."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _call(self) -> None:
        with Client(self._address) as client:
            while not self._stop.is_set():
                client.collections()


def _shown(pid: int) -> str:
    names: dict[str, int] = {}
    for name in thread_names(pid):
        names[name] = names.get(name, 0) + 1
    return ", ".join(f"{n} {name}" for name, n in names.items())


if __name__ == "__main__":
    sys.exit(main())
