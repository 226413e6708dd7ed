"""How many cores this process may use, and how many of the machine's are idle now.

What it may use are its affinity, and what its cgroup is allotted.

A container's limit of two cores on a machine of 64 is a quota of time, which neither
`os.cpu_count` nor the affinity show. More threads than that are stopped in the middle of
what they do until the next period begins, 0.1 s later.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

from icecore.server.giving_way import n_giving_way

_MOUNT = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")
_LOAD = Path("/proc/loadavg")

_AGAIN_S = 2e-4
"""In which another thread of ours, that has just handed something over, goes to sleep."""


def usable_cores(*, mount: Path = _MOUNT, ours: Path = _OURS) -> int:
    """Return the whole cores of the affinity and of the smallest quota above us, at least 1.

    What is left of a quota of 2.5 goes to the threads that talk and store.

    Args:
        mount: where cgroups are mounted, of version 1 or 2.
        ours: which of them this process is in.
    """
    cores = len(os.sched_getaffinity(0))
    for quota in _quotas(mount, ours):
        cores = min(cores, int(quota))
    return max(1, cores)


class IdleCores:
    """How many cores of the machine nothing runs on at the moment, beside who asks.

    The kernel counts what runs or would, on the whole machine also inside a container. What
    gives way to us takes no core from us.

    Args:
        load: whose fourth field begins with that number (proc_loadavg(5)). Where it cannot be
            read, all cores but one are idle.
        n_giving_way: how many threads of those that run give way to us.
    """

    def __init__(
        self,
        load: Path = _LOAD,
        *,
        cores: int | None = None,
        n_giving_way: Callable[[], int] = n_giving_way,
    ) -> None:
        self._cores = (os.cpu_count() or 1) if cores is None else cores
        self._load = load
        self._n_giving_way = n_giving_way

    def at_least(self, n: int) -> bool:
        """Whether so many are idle; looks twice before it says no. A look takes 4 µs."""
        if n <= 0 or self._n_idle() >= n:
            return True
        if self._n_idle() + self._n_giving_way() >= n:
            return True
        sleep(_AGAIN_S)
        return self._n_idle() + self._n_giving_way() >= n

    def _n_idle(self) -> int:
        try:
            with self._load.open("rb", buffering=0) as file:
                running, _, _ = file.read(64).split()[3].partition(b"/")
            return self._cores - max(1, int(running))
        except (OSError, ValueError, IndexError):
            return self._cores - 1


def _quotas(mount: Path, ours: Path) -> Iterator[float]:
    """Yield each quota that holds for us, in cores."""
    for line in _lines(ours):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield from _up(mount, path, _quota)
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                yield from _up(mount / name, path, _old_quota)


def _up(top: Path, path: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    """Read our group and those above it. In a container its own is the top, whatever its path."""
    group = top / path.lstrip("/")
    while True:
        quota = read(group)
        if quota is not None:
            yield quota
        if group == top or top not in group.parents:
            return
        group = group.parent


def _quota(group: Path) -> float | None:
    """cpu.max of version 2: "QUOTA PERIOD" or "max PERIOD", in microseconds."""
    words = " ".join(_lines(group / "cpu.max")).split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _old_quota(group: Path) -> float | None:
    """The two files of version 1; a quota of -1 is none."""
    quota, period = (_lines(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return _ratio(quota[0], period[0]) if quota and period else None


def _ratio(quota: str, period: str) -> float | None:
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # no such controller, or not for us to read
        return []
