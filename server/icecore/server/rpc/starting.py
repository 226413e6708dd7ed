"""How long a start took, phase by phase: told in the log line that says "serving"."""

import os
import time
from pathlib import Path


class Phases:
    """Times from one `ended` to the next, in ms; the first from the start of the process."""

    def __init__(self) -> None:
        self.ms: dict[str, int] = {}
        self._last = time.clock_gettime(time.CLOCK_BOOTTIME) - _age_s()

    def ended(self, name: str) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.ms[name] = round((now - self._last) * 1e3)
        self._last = now


def _age_s() -> float:
    """How long this process is there, to a hundredth of a second."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): field 22, since boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began
