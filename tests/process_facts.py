"""What Linux tells of a process and its children: processor time, threads, memory."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all below it that live now."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        children = _read(task / "children").split()
        found += [one for child in children for one in tree(int(child))]
    return found


def cpu_s(pid: int) -> float:
    """Processor time of the process and those below it, of those that ended too."""
    total = 0
    for one in tree(pid):
        fields = _read(Path(f"/proc/{one}/stat")).rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) if fields else 0
    return total / _TICKS


def n_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").glob("*")))


def thread_names(pid: int) -> list[str]:
    return sorted(
        _read(task / "comm").strip() or "?" for task in Path(f"/proc/{pid}/task").glob("*")
    )


def resident_mb(pid: int) -> float:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def catches(pid: int, number: int) -> bool:
    """Whether the process does something of its own at a signal."""
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
