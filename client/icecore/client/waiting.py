"""What a client tells of while it waits for its server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that is tried again in `seconds`: the server is away, full, or just being made.

    `reason` and `message` are those of the error that it met. `most_s` is how long a
    server that is away is waited for yet; None for one that is full, which says when.
    """

    reason: str
    message: str
    seconds: float
    most_s: float | None = None


OnWait: TypeAlias = Callable[[Waiting], None]
"""Is told before each wait, in whatever thread that is, and returns at once."""
