"""One flight: who joins, who leaves, and until when it is wanted."""

import asyncio

import numpy as np
import pytest

from icecore.server.embedding.caching.flights import Flight, FlightLost
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from toys import toy_backbone

BACKBONE = toy_backbone()
RAN = Ran(queue_ms=1.0, decode_ms=0.0, compute_ms=2.0, decode_cpu_ms=0.0, pass_cpu_ms=2.0)


class Air:
    """A flight under way, and what became of it."""

    def __init__(self) -> None:
        self.given_up: list[Piece] = []
        self.n_landed = 0
        self.flight = Flight(self._give_up, self._land)
        self.piece = Piece(
            backbone=BACKBONE,
            taps=BACKBONE.core,
            prepare=lambda: np.zeros((3, 8, 8), np.float32),
            keep=self.flight.keep,
            answer=asyncio.get_running_loop().create_future(),
        )
        self.flight.begin(self.piece)

    def _give_up(self, piece: Piece) -> None:
        self.given_up.append(piece)
        piece.answer.cancel()

    def _land(self, flight: Flight) -> None:
        self.n_landed += 1


@pytest.mark.parametrize(
    ("deadlines", "last"),
    [([5.0], 5.0), ([5.0, 9.0, 7.0], 9.0), ([5.0, None], None), ([None, 3.0], None)],
)
async def test_it_is_wanted_until_the_last_of_them(
    deadlines: list[float | None], last: float | None
) -> None:
    air = Air()
    for deadline in deadlines:
        air.flight.join(deadline)
    assert air.piece.deadline == last


async def test_all_are_answered_and_it_lands_once() -> None:
    air = Air()
    waiting = [air.flight.join(None) for _ in range(3)]
    waiting[1].cancel()
    await asyncio.sleep(0)
    air.piece.answer.set_result(RAN)
    assert [await waiting[0], await waiting[2]] == [RAN, RAN]
    assert (air.n_landed, air.given_up) == (1, [])


async def test_who_leaves_takes_the_deadline_along() -> None:
    air = Air()
    air.flight.join(5.0)
    patient = air.flight.join(None)
    assert air.piece.deadline is None
    patient.cancel()
    await asyncio.sleep(0)
    assert air.piece.deadline == 5.0


async def test_an_error_is_nobodys_where_the_first_has_left() -> None:
    air = Air()
    waiting = [air.flight.join(None) for _ in range(2)]
    waiting[0].cancel()
    await asyncio.sleep(0)
    air.piece.answer.set_exception(ValueError("image 3 of the first"))
    with pytest.raises(FlightLost):
        await waiting[1]


async def test_it_is_given_up_with_the_last_who_leaves() -> None:
    air = Air()
    waiting = [air.flight.join(None) for _ in range(3)]
    for one in waiting[:2]:
        one.cancel()
    await asyncio.sleep(0)
    assert air.given_up == []
    waiting[2].cancel()
    await asyncio.sleep(0)
    assert air.given_up == [air.piece]


async def test_who_joins_one_that_is_just_given_up_is_told_it_is_lost() -> None:
    air = Air()
    air.flight.join(None).cancel()
    await asyncio.sleep(0)
    late = air.flight.join(None)
    with pytest.raises(FlightLost):
        await late


async def test_an_error_is_the_firsts_own() -> None:
    air = Air()
    waiting = [air.flight.join(None) for _ in range(2)]
    air.piece.answer.set_exception(ValueError("image 3 of the first"))
    with pytest.raises(ValueError, match="image 3"):
        await waiting[0]
    with pytest.raises(FlightLost):
        await waiting[1]


async def test_codes_of_a_batch_do_not_hold_the_whole_of_it() -> None:
    air = Air()
    batch = np.zeros((64, 100), np.float32)
    air.flight.keep([batch[3], np.zeros((1, 100), np.float32)[0]])
    assert air.flight.codes is not None
    first, second = air.flight.codes
    assert first.base is None
    assert second.base is not None
    air.piece.answer.set_result(RAN)
