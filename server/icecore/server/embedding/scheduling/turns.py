"""Whose piece is next. Thread-safe: calls put pieces in, worker threads take them out.

Tenants share the processor, in milliseconds of it; `Lines` says which of a tenant's own
pieces is next. Every step takes O(log n) of the tenants that wait, under one short lock.
"""

from collections.abc import Callable
from dataclasses import replace
from threading import Condition
from time import monotonic
from typing import Final

from icecore.server.embedding.scheduling.lateness import TooLate, too_late
from icecore.server.embedding.scheduling.lines import Lines
from icecore.server.embedding.scheduling.pieces import Piece, Priority
from icecore.server.embedding.scheduling.shares import Shares
from icecore.server.errors import ShuttingDown
from icecore.server.telemetry.metrics import Metrics

CREDIT_MS: Final = 200.0
"""Of the processor: what a tenant that asked for little may have before those that ask for
much. Some passes of a middling network: when a few of its calls come at once, they do not
wait for one of every other tenant in between. In simulation (two tenants, 30 ms a pass, one
at a fifth of the peak) its p99 beside a flood was 189 ms without, 95 ms with it."""

MOST_ASKED: Final = 64
"""Tenants asked for more pieces for one pass; the others have their turn at the next."""


class Turns:
    """The pieces that wait.

    Args:
        clock: as `time.monotonic`, of which deadlines are.
    """

    def __init__(
        self, *, metrics: Metrics | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._metrics = Metrics() if metrics is None else metrics
        self._clock = clock
        self._changed = Condition()
        self._shares: Shares[str] = Shares(CREDIT_MS)
        self._tenants: dict[str, Lines] = {}
        self._n_waiting = 0
        self._is_closed = False

    @property
    def n_waiting(self) -> int:
        return self._n_waiting

    def put(self, piece: Piece) -> None:
        """Raises ShuttingDown: closed."""
        with self._changed:
            if self._is_closed:
                raise ShuttingDown("the server is shutting down and takes no more images")
            lines = self._tenants.get(piece.tenant_id)
            if lines is None:
                lines = self._tenants[piece.tenant_id] = Lines()
            self._shares.join(piece.tenant_id, piece.stay.weight)
            lines.put(piece)
            self._n_waiting += 1
            self._changed.notify()

    def take(self, *, wait: bool = True) -> Piece | None:
        """Return the next piece that is to be started, waiting for one; None when closed.

        Without `wait` None also where there is none. Those that nobody wants any more, or
        not in time, are answered and passed over.
        """
        while True:
            late: list[tuple[Piece, TooLate]] = []
            with self._changed:
                while (tenant_id := self._shares.first()) is None:
                    if self._is_closed or not wait:
                        return None
                    self._changed.wait()
                piece = self._take(tenant_id, late)
            self._answer(late)
            if piece is not None:
                return piece

    def take_more(self, fits: Callable[[Piece], bool], most: int) -> list[Piece]:
        """Return up to `most` further pieces for the same pass, without waiting.

        Tenants are asked in the order of their turns, for one that fits in each round; what
        comes first in a tenant's lines must fit. Each pays for its own pieces.
        """
        late: list[tuple[Piece, TooLate]] = []
        taken: list[Piece] = []
        with self._changed:
            asked = self._shares.waiting(MOST_ASKED)
            while asked and len(taken) < most:
                giving = []
                for tenant_id in asked:
                    if len(taken) == most:
                        break
                    piece = self._take(tenant_id, late, fits, in_turn=False)
                    if piece is not None:
                        taken.append(piece)
                        giving.append(tenant_id)
                asked = [one for one in giving if one in self._tenants]
        self._answer(late)
        return taken

    def is_late(self, piece: Piece, spent_ms: float = 0.0) -> bool:
        """Whether a piece that was taken is not to go on any more; it is answered then.

        Its tenant pays for what it took so far.
        """
        lateness = too_late(piece, self._clock())
        if lateness is None:
            return False
        self._answer([(piece, lateness)])
        self.settle(piece, spent_ms)
        return True

    def settle(self, piece: Piece, spent_ms: float) -> None:
        """Let the tenant pay what its piece took more than was estimated, or get it back."""
        with self._changed:
            self._shares.correct(piece.tenant_id, spent_ms - piece.cost_ms, piece.stay.weight)

    def forget(self, piece: Piece) -> None:
        """Take a piece out that nobody wants any more, if it still waits."""
        with self._changed:
            if not piece.is_waiting:
                return
            piece.left_at = self._clock()
            self._drop(piece)
        is_expired = piece.deadline is not None and piece.left_at >= piece.deadline
        self._metrics.never_started("expired" if is_expired else "cancelled")

    def hasten(self, piece: Piece) -> Piece:
        """Let a piece of bulk go first that an interactive call waits for too.

        Returns:
            what stands in line in its place, with the same answer; the piece itself where it
            does not wait any more, or was in no lower place.
        """
        with self._changed:
            if not piece.is_waiting or piece.priority is not Priority.BULK:
                return piece
            stay = replace(
                piece.stay, priority=Priority.INTERACTIVE, late_at=None, began_for=piece.stay
            )
            faster = replace(piece, priority=Priority.INTERACTIVE, stay=stay)
            lines = self._tenants[piece.tenant_id]
            lines.put(faster)
            lines.drop(piece)
            return faster

    def close(self) -> list[Piece]:
        """Let `take` give None, and return what waited. Idempotent."""
        with self._changed:
            left = [piece for lines in self._tenants.values() for piece in lines]
            for piece in left:
                piece.is_waiting = False
            self._tenants.clear()
            self._shares = Shares(CREDIT_MS)
            self._n_waiting = 0
            self._is_closed = True
            self._changed.notify_all()
            return left

    def _take(
        self,
        tenant_id: str,
        late: list[tuple[Piece, TooLate]],
        fits: Callable[[Piece], bool] | None = None,
        *,
        in_turn: bool = True,
    ) -> Piece | None:
        """The tenant's next piece, None where there is none or it does not fit."""
        lines = self._tenants[tenant_id]
        now = self._clock()
        while lines.n_waiting:
            piece = lines.first()
            lateness = too_late(piece, now)
            if lateness is not None:
                self._drop(piece)
                late.append((piece, lateness))
                continue
            if fits is not None and not fits(piece):
                return None
            piece.stay.start()
            self._shares.charge(tenant_id, piece.cost_ms, in_turn=in_turn)
            lines.serve(piece)
            self._taken_out(tenant_id, lines)
            return piece
        return None

    def _drop(self, piece: Piece) -> None:
        lines = self._tenants[piece.tenant_id]
        lines.drop(piece)
        self._taken_out(piece.tenant_id, lines)

    def _taken_out(self, tenant_id: str, lines: Lines) -> None:
        self._n_waiting -= 1
        if not lines.n_waiting:
            self._shares.leave(tenant_id)
            del self._tenants[tenant_id]

    def _answer(self, late: list[tuple[Piece, TooLate]]) -> None:
        for piece, lateness in late:
            if lateness.left_by is not None:
                self._metrics.never_started(lateness.left_by)
            if lateness.error is not None:
                piece.fail(lateness.error)
