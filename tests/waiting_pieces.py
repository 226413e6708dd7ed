"""Pieces without images, and answers that tell at once: what turns need to be tried."""

from collections.abc import Callable
from typing import Any, cast

from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay


class Answer:
    """The part of a future that turns look at; who is told of a failure is told at once."""

    def __init__(self) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self.told: Callable[[BaseException], None] | None = None

    def done(self) -> bool:
        return self.is_done

    def set_exception(self, error: BaseException) -> None:
        self.is_done, self.error = True, error
        if self.told is not None:
            self.told(error)

    def get_loop(self) -> "Answer":
        return self

    def call_soon_threadsafe(self, tell: Callable[[], None]) -> None:
        tell()


def piece(
    tenant_id: str = "",
    *,
    cost_ms: float = 1.0,
    stay: Stay | None = None,
    priority: Priority = Priority.INTERACTIVE,
    deadline: float | None = None,
    name: Any = None,
) -> Piece:
    """A piece without an image; `name` says which one it is."""
    return Piece(
        backbone=name,
        taps=(),
        prepare=cast("Any", None),
        keep=cast("Any", None),
        answer=cast("Any", Answer()),
        tenant_id=tenant_id,
        priority=priority,
        deadline=deadline,
        cost_ms=cost_ms,
        stay=stay or Stay(tenant_id, priority),
    )
