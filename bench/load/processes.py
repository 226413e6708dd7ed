"""A server as a tree of processes: started, pinned, measured, ended without leftovers."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MARK = "ICECORE_BENCH_TREE"
"""An environment variable that all processes of a tree inherit, also those that leave it."""

_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True)
class Tree:
    """A started program with all its descendants; what it prints lies in `log`."""

    child: "subprocess.Popen[bytes]"
    mark: str
    log: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    def members(self) -> list[int]:
        return sorted({*descendants(self.pid), *_marked(self.mark)})

    def check(self) -> None:
        """Raise where the program has ended by itself."""
        if self.child.poll() is not None:
            raise RuntimeError(f"the server ended with {self.child.returncode}: {self.tail()}")

    def tail(self, n_bytes: int = 1500) -> str:
        return self.log.read_bytes()[-n_bytes:].decode(errors="replace")


@contextmanager
def tree(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cores: Sequence[int] | None = None,
    folder: Path | None = None,
) -> Iterator[Tree]:
    """Run a program with its own session; at the end nothing of it is left.

    Args:
        command: program and arguments.
        log: where its standard output and error go.
        environment: added to this process's own.
        cores: those it may use; all of this process's where None.
        folder: where it runs.
    """
    mark = secrets.token_hex(8)
    with log.open("wb") as out, on_cores(cores):
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {}), MARK: mark},
            cwd=folder,
            start_new_session=True,
        )
    started = Tree(child, mark, log)
    try:
        yield started
    finally:
        _end(started)


@contextmanager
def on_cores(cores: Sequence[int] | None) -> Iterator[None]:
    """Let this thread, and what it starts meanwhile, use these cores only."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def descendants(pid: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for one in _all():
        with suppress(*_GONE):
            children.setdefault(int(_stat(one)[1]), []).append(one)
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return user and system time of these processes and of the children they have reaped.

    A process's own clock has nanoseconds and counts threads that are gone; what
    its reaped children took is known in ticks of 10 ms.
    """
    total = 0.0
    for pid in pids:
        with suppress(*_GONE, OSError):
            reaped = sum(int(field) for field in _stat(pid)[13:15]) / TICKS
            total += time.clock_gettime(_cpu_clock(pid)) + reaped
    return total


def memory_mb(pids: Sequence[int]) -> float:
    """Return what these processes hold in memory, pages that several share counted once.

    Source: proportional set size, /proc/PID/smaps_rollup.
    """
    total = 0
    for pid in pids:
        with suppress(*_GONE):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def _cpu_clock(pid: int) -> int:
    """The kernel's number for a process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the field after the name, which is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _marked(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for pid in _all():
        with suppress(*_GONE, OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def _end(started: Tree, *, patience_s: float = 8.0) -> None:
    """Ask the program to end, then kill what is left of it."""
    members = started.members()
    if started.child.poll() is None:
        started.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            started.child.wait(patience_s)
    for _ in range(50):
        left = [pid for pid in {*members, *started.members()} if _runs(pid, started.mark)]
        if not left:
            break
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    started.child.wait(patience_s)


def _runs(pid: int, mark: str) -> bool:
    """Whether it is still there, no zombie, and ours: numbers are given again."""
    try:
        is_ours = f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return is_ours and _stat(pid)[0] != "Z"
    except (*_GONE, OSError):
        return False
