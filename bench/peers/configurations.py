"""How each peer is configured for so many cores, as its documentation advises.

Where that is not clear there are several; which one is for what was found by `--variants all`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

OURS = "icecore"


@dataclass(frozen=True)
class Variant:
    """One way to configure a peer; see `serving.network.Plan`.

    `use`: "any" number of callers, a "lone" one, several ("load"), or "tried" and left.
    """

    name: str
    use: str
    workers: int
    at_once: int
    threads: int
    max_batch: int = 1
    max_wait_ms: float = 0.0


def _processes(cores: int, use: str) -> Variant:
    return Variant("one a core", use, workers=cores, at_once=1, threads=1)


def _lone(cores: int) -> Variant:
    return Variant("all cores", "lone", workers=1, at_once=1, threads=cores)


def _batches(cores: int) -> Variant:
    return Variant("batches", "tried", cores, 1, 1, max_batch=8, max_wait_ms=2.0)


def _pytriton(cores: int) -> Sequence[Variant]:
    """Triton's own process runs beside; instances are threads of the Python process."""
    return (
        Variant("one a core", "any", workers=1, at_once=cores, threads=1),
        _lone(cores),
        Variant("batches", "tried", 1, cores, 1, max_batch=8, max_wait_ms=2.0),
    )


def _litserve(cores: int) -> Sequence[Variant]:
    return _processes(cores, "any"), _lone(cores), _batches(cores)


def _mlserver(cores: int) -> Sequence[Variant]:
    return (
        Variant("threads", "any", workers=0, at_once=cores, threads=1),
        Variant("all cores", "lone", workers=0, at_once=1, threads=cores),
        _processes(cores, "load"),
        _batches(cores),
    )


def _bentoml(cores: int) -> Sequence[Variant]:
    return _processes(cores, "any"), _lone(cores), Variant("threads", "load", 1, cores, 1)


_OURS = Variant("as it comes", "any", workers=0, at_once=0, threads=0)

CONFIGURED: Mapping[str, Callable[[int], Sequence[Variant]]] = {
    OURS: lambda _: (_OURS,),
    "pytriton": _pytriton,
    "litserve": _litserve,
    "mlserver": _mlserver,
    "bentoml": _bentoml,
}
"""By the number of cores; the first is the one for ten times the load."""
