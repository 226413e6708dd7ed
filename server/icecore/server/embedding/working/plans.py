"""How a backbone is run: threads of a lone image, images of a pass.

What a measurement decided; until there is one, the naive choice.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

MOST_THREADS: Final = 8
"""Of a lone image: one pass gains little from more, and each would be one more thread kept."""

MOST_IMAGES: Final = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run one backbone on one device.

    Args:
        lone_threads: of the pass of an image that nothing else runs or waits beside; all
            other passes have one thread each.
        batch: images of a pass at most, where so many wait.
        a_pass_ms, an_image_ms: what a pass of n images takes at full depth is
            `a_pass_ms + n * an_image_ms`; zeros: not known.
    """

    lone_threads: int = 1
    batch: int = 1
    a_pass_ms: float = 0.0
    an_image_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.lone_threads <= 1024:
            raise ValueError(f"lone_threads is {self.lone_threads!r}, but must be 1 to 1024")
        if not 1 <= self.batch <= MOST_IMAGES:
            raise ValueError(f"batch is {self.batch!r}, but must be 1 to {MOST_IMAGES}")
        for name in ("a_pass_ms", "an_image_ms"):
            value = getattr(self, name)
            if not 0 <= value < 1e7:
                raise ValueError(f"{name} is {value!r}, but must be 0 or more")

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises ValueError, TypeError: not what `to_json` wrote."""
        plan = cls(**values)
        if type(plan.lone_threads) is not int or type(plan.batch) is not int:
            raise ValueError("lone_threads and batch must be whole numbers")
        return plan


class Plans:
    """The plan of each backbone, by digest. May be read from any thread."""

    def __init__(self, naive: Plan) -> None:
        self._naive = naive
        self._decided: dict[str, Plan] = {}

    def of(self, digest: str) -> Plan:
        return self._decided.get(digest, self._naive)

    def is_decided(self, digest: str) -> bool:
        return digest in self._decided

    def decide(self, digest: str, plan: Plan) -> None:
        self._decided[digest] = plan


def naive_plan(threads: int, *, is_cpu: bool) -> Plan:
    """Return what is done until something was measured.

    On a processor an image a pass, and all threads for a lone one; on a GPU passes of
    what is ready.
    """
    return Plan(min(threads, MOST_THREADS)) if is_cpu else Plan(1, 8)
