"""What backbones that come and go leave in a server, and what others notice meanwhile.

A server as a user starts it; a network of 2 MB is added (looked at in a process of its
own), read at all its layers and removed, N times, while another caller embeds with the
default backbone all along. Prints the server's memory, the time of a cycle, and the
other's latency with and without. With FILE, that one is added too, and its peak memory told.

Usage: python bench/backbone_cycles.py [--cycles N] [--warm-up N] [FILE.onnx]
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from adding import add_backbone, remove_backbone
from callers import Caller, calling, pixels
from cycles import cycle, resident_mb
from icecore.v1 import codes_pb2 as epb
from servers import process


class Other:
    """A caller who embeds one photo after the other, and how long each took in ms."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self.ms: list[float] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.ms = []
        self._stop.clear()
        thread = threading.Thread(target=self._embed)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def told(self) -> str:
        ordered = sorted(self.ms)
        late = ordered[int(0.95 * len(ordered))]
        median, most = statistics.median(ordered), ordered[-1]
        return f"median {median:6.1f} ms, 95 % {late:6.1f}, most {most:6.1f}"

    def _embed(self) -> None:
        with calling(self._address) as caller:
            request = epb.EmbedRequest(images=[pixels(0, size=224)])
            while not self._stop.is_set():
                began = time.perf_counter()
                caller.codes.Embed(request)
                self.ms.append((time.perf_counter() - began) * 1e3)
                self._stop.wait(0.02)


@contextmanager
def watching(pid: int) -> Iterator[list[float]]:
    """The most memory in MB that a process held meanwhile, in a list of one."""
    most = [resident_mb(pid)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident_mb(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=20)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        process(Path(folder) / "data") as server,
        calling(server.address, server.admin_key) as admin,
        calling(server.address) as tenant,
    ):
        assert server.child is not None
        pid = server.child.pid
        other = Other(server.address)
        with other.at_work():
            time.sleep(3)
        print(f"others, alone:         {other.told()}")
        held = []
        with other.at_work():
            began = time.perf_counter()
            for seed in range(asked.warm_up + asked.cycles):
                cycle(admin, tenant, seed)
                held.append(resident_mb(pid))
            seconds = time.perf_counter() - began
        print(f"others, during cycles: {other.told()}")
        before = statistics.median(held[asked.warm_up - 5 : asked.warm_up])
        after = statistics.median(held[-5:])
        print(f"{seconds / len(held):.2f} s a cycle of add, three embeds, list and remove")
        print(
            f"memory {before:.0f} MB after {asked.warm_up} cycles, {after:.0f} MB after "
            f"{asked.cycles} more: {after / before - 1:+.1%}"
        )
        if asked.file is not None:
            large(asked.file, admin, tenant, pid, other)


def large(file: Path, admin: Caller, tenant: Caller, pid: int, other: Other) -> None:
    data = file.read_bytes()
    for round_ in range(3):
        before = resident_mb(pid)
        with other.at_work(), watching(pid) as most:
            began = time.perf_counter()
            made = add_backbone(admin, "large", data)
            added = time.perf_counter()
        told = other.told()
        request = epb.EmbedRequest(backbone="large", images=[pixels(0, size=224)])
        tenant.codes.Embed(request)
        used = resident_mb(pid)
        began_removal = time.perf_counter()
        remove_backbone(admin, "large")
        removed = time.perf_counter()
        print(
            f"{made.graph_bytes / 1e6:.0f} MB, round {round_}: added in {added - began:.1f} s, "
            f"removed in {removed - began_removal:.1f} s; memory {before:.0f} MB before, "
            f"{most[0]:.0f} at most, {used:.0f} in use, {resident_mb(pid):.0f} after"
        )
        print(f"  others meanwhile:    {told}")


if __name__ == "__main__":
    main()
