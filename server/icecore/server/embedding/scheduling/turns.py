"""Whose piece is next. Thread-safe: calls put pieces in, worker threads take them out."""

from collections import OrderedDict, deque
from threading import Condition

from icecore.server.embedding.scheduling.pieces import Piece
from icecore.server.errors import ShuttingDown


class Turns:
    """The pieces that wait, one of each tenant in turn."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: OrderedDict[str, deque[Piece]] = OrderedDict()
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
            self._waiting.setdefault(piece.tenant_id, deque()).append(piece)
            self._n_waiting += 1
            self._changed.notify()

    def take(self) -> Piece | None:
        """Return the next piece, waiting for one; None when closed."""
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._changed.wait()
            tenant_id, pieces = self._waiting.popitem(last=False)
            piece = pieces.popleft()
            if pieces:
                self._waiting[tenant_id] = pieces  # behind all others
            self._n_waiting -= 1
            return piece

    def forget(self, piece: Piece) -> None:
        """Take a piece out that nobody wants any more, if it still waits."""
        with self._changed:
            pieces = self._waiting.get(piece.tenant_id)
            if pieces is not None and piece in pieces:
                pieces.remove(piece)
                self._n_waiting -= 1
                if not pieces:
                    del self._waiting[piece.tenant_id]

    def close(self) -> list[Piece]:
        """Let `take` give None, and return what waited. Idempotent."""
        with self._changed:
            left = [piece for pieces in self._waiting.values() for piece in pieces]
            self._waiting.clear()
            self._n_waiting = 0
            self._is_closed = True
            self._changed.notify_all()
            return left
