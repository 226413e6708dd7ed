"""The lines of one tenant: which of its own pieces is next. Not thread-safe."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay

BULK_SHARE: Final = 1 / 8
"""What bulk gets of what interactive takes, while both wait."""


@dataclass(slots=True, eq=False)
class _Line:
    """The pieces of one call, in their order; those taken out are skipped when they come up."""

    pieces: deque[Piece] = field(default_factory=deque)
    n_waiting: int = 0


class Lines:
    """Interactive pieces first; each time those have taken 8 ms, bulk may take one.

    Within either, the calls are served in the order they came, one piece of each in turn:
    a call of a thousand images holds up one of a single image by one image.
    """

    def __init__(self) -> None:
        self._lanes: dict[Priority, OrderedDict[Stay, _Line]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._owed_to_bulk = 0.0
        self.n_waiting = 0

    def __iter__(self) -> Iterator[Piece]:
        for lane in self._lanes.values():
            for line in lane.values():
                yield from (piece for piece in line.pieces if piece.is_waiting)

    def put(self, piece: Piece) -> None:
        line = self._lanes[piece.priority].setdefault(piece.stay, _Line())
        line.pieces.append(piece)
        line.n_waiting += 1
        piece.is_waiting = True
        self.n_waiting += 1

    def first(self) -> Piece:
        """Return the piece whose turn it is; at least one must wait."""
        lane = self._lanes[self._turn()]
        line = next(iter(lane.values()))
        while not line.pieces[0].is_waiting:
            line.pieces.popleft()
        return line.pieces[0]

    def serve(self, piece: Piece) -> None:
        """Take out what `first` gave; its call goes behind the others of its kind."""
        interactive, bulk = self._lanes[Priority.INTERACTIVE], self._lanes[Priority.BULK]
        if piece.priority is Priority.BULK:
            self._owed_to_bulk = max(0.0, self._owed_to_bulk - piece.cost_ms)
        elif bulk:
            self._owed_to_bulk += piece.cost_ms * BULK_SHARE
        lane = bulk if piece.priority is Priority.BULK else interactive
        lane.move_to_end(piece.stay)
        self.drop(piece)
        if not bulk:
            self._owed_to_bulk = 0.0

    def drop(self, piece: Piece) -> None:
        """Take a waiting piece out, wherever it stands; what it holds is let go with it."""
        lane = self._lanes[piece.priority]
        line = lane[piece.stay]
        piece.is_waiting = False
        line.n_waiting -= 1
        self.n_waiting -= 1
        if not line.n_waiting:
            del lane[piece.stay]

    def _turn(self) -> Priority:
        interactive, bulk = self._lanes[Priority.INTERACTIVE], self._lanes[Priority.BULK]
        if not interactive:
            return Priority.BULK
        if bulk:
            line = next(iter(bulk.values()))
            if self._owed_to_bulk >= line.pieces[0].cost_ms:
                return Priority.BULK
        return Priority.INTERACTIVE
