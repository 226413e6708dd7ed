"""Why a piece whose turn has come is not started."""

from dataclasses import dataclass
from typing import Final

from icecore.server.embedding.scheduling.pieces import Piece
from icecore.server.errors import DeadlineExceeded, IcecoreError, Overloaded
from icecore.server.telemetry.metrics import LeftBy

_AGAIN_S: Final = 1.0
"""Overloaded so late means that the estimates were wrong: they are given time to learn."""

_BETWEEN_S: Final = 0.01
"""What may pass between the last look at a piece and its start, while the thread waits."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """`left_by` is None where somebody still waits, but waited too long; `error` tells them."""

    left_by: LeftBy | None
    error: IcecoreError | None


def too_late(piece: Piece, now: float) -> TooLate | None:
    """Return why the piece is not to be started at `now`, None where it is.

    Args:
        now: of `time.monotonic`.
    """
    if piece.answer.done():
        return TooLate("cancelled", None)
    if piece.deadline is not None and now >= piece.deadline:
        return TooLate(
            "expired", DeadlineExceeded("the call's deadline passed before its images had a turn")
        )
    stay = piece.stay
    if stay.late_at is not None and now > stay.late_at and not stay.has_started:
        return TooLate(
            None,
            Overloaded(
                "the call waited longer than was foreseen when it came, and was not started; "
                "try again later",
                retry_after_s=_AGAIN_S,
            ),
        )
    return None


def late_by(piece: Piece, now: float) -> LeftBy | None:
    """Return why a piece that starts `now` should not; None as long as turns are kept."""
    if piece.left_at is not None:
        return "cancelled"
    if piece.deadline is not None and now > piece.deadline + _BETWEEN_S:
        return "expired"
    return None
