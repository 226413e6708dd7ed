"""A tenant who embeds while an administrator adds files; and how large a server grew."""

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from callers import Caller, pixels
from icecore.v1 import codes_pb2 as cpb


def embed_ms(tenant: Caller, *, n: int, size: int = 8) -> list[float]:
    """Embed an image `n` times; return how long each took, in milliseconds."""
    request = cpb.EmbedRequest(images=[pixels(0, size=size)])
    took = []
    for _ in range(n):
        start = perf_counter()
        tenant.codes.Embed(request)
        took.append(1e3 * (perf_counter() - start))
    return took


@contextmanager
def embedding(tenant: Caller, *, size: int = 8) -> Iterator[list[float]]:
    """Embed one image after another until the block ends; the list fills with milliseconds."""
    took: list[float] = []
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            took.extend(embed_ms(tenant, n=1, size=size))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


def forget_peak(pid: int) -> float:
    """Let the kernel count a process's peak anew; return what it holds now, in MB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most that it held since."""
    return _status_mb(pid, "VmHWM")


def are_gone(pid: int, *, within_s: float) -> bool:
    """Whether all processes that a process started end within some seconds."""
    for child in children(pid):
        try:
            handle = os.pidfd_open(child)
        except ProcessLookupError:
            continue
        try:
            if not select.select([handle], [], [], within_s)[0]:
                return False
        finally:
            os.close(handle)
    return True


def children(pid: int) -> set[int]:
    """Processes that a process started and has not yet seen end."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def _status_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {field} in the status of process {pid}")
