"""What a generator has seen: each request's moment, time and end; and their percentiles."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

OK = "OK"


@dataclass
class Outcome:
    """Parallel lists, one entry a request that has ended, whatever its end.

    `at` is in seconds since the beginning, of the sending; `ms` from sending to the end;
    `late_ms` how much later than planned it was sent (open loop). `ends` are
    "OK", a gRPC status, "HTTP 503" and the like, "TIMEOUT" or "BROKEN".
    `seconds` lasts from the first sending to the last end.
    """

    seconds: float = 0.0
    own_cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    at: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    pushbacks: int = 0
    """Refusals that said when to come again (trailer grpc-retry-pushback-ms). In a closed loop
    their callers did, and those requests' times last from the first sending to the last end."""
    complaint: str = ""
    """What the first request that failed was told."""

    @property
    def n_ok(self) -> int:
        return self.ends.count(OK)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.n_ok / self.seconds if self.seconds else 0.0

    @property
    def server_cpu_ms(self) -> float:
        """The server's CPU-milliseconds a good answer."""
        return self.server_cpu_s / self.n_ok * 1e3 if self.n_ok else math.nan

    @property
    def own_cpu_ms(self) -> float:
        """The generator's CPU-milliseconds a request."""
        return self.own_cpu_s / len(self.ends) * 1e3 if self.ends else math.nan

    def ms_of(self, *ends: str) -> list[float]:
        """Return the times of the requests that ended so."""
        return [ms for ms, end in zip(self.ms, self.ends, strict=True) if end in ends]

    def failures(self) -> Counter[str]:
        return Counter(end for end in self.ends if end != OK)

    def rate_of_ends(self, begin: float, end: float) -> float:
        """Return the good answers a second among those that ended in [begin, end) seconds."""
        n = sum(
            1
            for at, ms, how in zip(self.at, self.ms, self.ends, strict=True)
            if how == OK and begin <= at + ms / 1e3 < end
        )
        return n / (end - begin)


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """Return rounds of the same thing as one; moments are those of each round."""
    whole = Outcome()
    for one in outcomes:
        whole.seconds += one.seconds
        whole.own_cpu_s += one.own_cpu_s
        whole.server_cpu_s += one.server_cpu_s
        whole.at += one.at
        whole.ms += one.ms
        whole.late_ms += one.late_ms
        whole.ends += one.ends
        whole.pushbacks += one.pushbacks
        whole.complaint = whole.complaint or one.complaint
    return whole


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that at least `percent` of all do not pass; nan of none.

    No interpolation: what is told has been seen.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
