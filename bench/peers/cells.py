"""The figures of a run: one cell for each server, input and number of callers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from load.outcome import Outcome, merged, percentile
from peers.configurations import OURS

BARE = "bare"
"""The network alone, in no server; shown, never compared with."""


@dataclass(frozen=True, order=True)
class Place:
    """What was measured."""

    model: str
    input: str
    concurrency: int


@dataclass(frozen=True)
class Figures:
    """What came out, of all rounds together; milliseconds, and requests a second."""

    rate: float
    p50: float
    p99: float
    cpu_ms: float
    generator_ms: float
    memory_mb: float
    n_requests: int
    failures: Mapping[str, int]
    n_came_again: int
    """Times that callers were told to come again later, and did."""


@dataclass
class Cells:
    """Outcomes by place and server, as rounds bring them; `server` is "peer, variant"."""

    outcomes: dict[Place, dict[str, list[Outcome]]] = field(default_factory=dict)
    memory_mb: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """By model and server."""

    def add(self, place: Place, server: str, outcome: Outcome) -> None:
        self.outcomes.setdefault(place, {}).setdefault(server, []).append(outcome)

    def add_memory(self, model: str, server: str, held_mb: float) -> None:
        self.memory_mb.setdefault((model, server), []).append(held_mb)

    def figures(self, place: Place) -> dict[str, Figures]:
        """Return what each server came to, the most requests a second first."""
        found = {
            server: _figures(rounds, self.memory_mb.get((place.model, server), []))
            for server, rounds in self.outcomes[place].items()
        }
        return dict(sorted(found.items(), key=lambda pair: -pair[1].rate))


def _figures(rounds: Sequence[Outcome], memory_mb: Sequence[float]) -> Figures:
    whole = merged(rounds)
    good = whole.ms_of("OK")
    return Figures(
        rate=whole.rate,
        p50=percentile(good, 50),
        p99=percentile(good, 99),
        cpu_ms=whole.server_cpu_ms,
        generator_ms=whole.own_cpu_ms,
        memory_mb=max(memory_mb, default=math.nan),
        n_requests=len(whole.ends),
        failures=dict(whole.failures()),
        n_came_again=whole.pushbacks,
    )


def peer_of(server: str) -> str:
    return server.partition(",")[0]


def has_rivals(cells: Cells, place: Place) -> bool:
    return any(peer_of(server) not in (OURS, BARE) for server in cells.outcomes[place])


def behind(cells: Cells, place: Place) -> list[str]:
    """Return a sentence for each of CPU-ms and p99 in which icecore is not first.

    It is compared with the best of all configurations of all peers, taken for each figure alone.
    """
    figures = cells.figures(place)
    ours = [one for server, one in figures.items() if peer_of(server) == OURS]
    theirs = {server: one for server, one in figures.items() if peer_of(server) not in (OURS, BARE)}
    where = f"{place.model}, {place.input}, {place.concurrency} at once"
    if not theirs:
        return []
    if not ours:
        return [f"{where}: {OURS} was not measured"]
    said = []
    for name, words in (("cpu_ms", "CPU-ms"), ("p99", "p99 ms")):
        mine = min(float(getattr(one, name)) for one in ours)
        best = min(theirs, key=lambda server: _or_last(getattr(theirs[server], name)))
        least = _or_last(getattr(theirs[best], name))
        if not mine <= least:
            said.append(f"{where}: {words} {mine:.2f}, {best} {least:.2f}")
    return said


def _or_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def table(cells: Cells, place: Place) -> Iterable[str]:
    """Yield the lines of one place."""
    yield f"{place.model}, {place.input}, {place.concurrency} at once"
    yield (
        f"  {'':24} {'req/s':>7} {'p50 ms':>8} {'p99 ms':>8} {'CPU-ms':>7} "
        f"{'generator':>9} {'MB':>6} {'requests':>8}"
    )
    for server, one in cells.figures(place).items():
        yield (
            f"  {server:24} {one.rate:>7.1f} {one.p50:>8.2f} {one.p99:>8.2f} {one.cpu_ms:>7.2f} "
            f"{one.generator_ms:>9.2f} {one.memory_mb:>6.0f} {one.n_requests:>8}"
            f"{'  ' + str(dict(one.failures)) if one.failures else ''}"
            f"{f'  {one.n_came_again} told to come again' if one.n_came_again else ''}"
        )
