"""Turns between threads: who is next, who is passed over, and the end."""

import gc
import threading
import weakref
from typing import Any

import pytest

from counting_heap import CountingHeap
from icecore.server.embedding.scheduling.pieces import Piece, Priority, Stay
from icecore.server.embedding.scheduling.turns import CREDIT_MS, MOST_ASKED, Turns
from icecore.server.errors import DeadlineExceeded, Overloaded, ShuttingDown
from icecore.server.telemetry.metrics import Metrics
from seen_metrics import seen
from waiting_pieces import Answer, piece


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def turns(clock: Clock, metrics: Metrics) -> Turns:
    return Turns(metrics=metrics, clock=clock)


def names(turns: Turns) -> list[str]:
    """Take all that is to be started."""
    order = []
    while (one := turns.take(wait=False)) is not None:
        order.append(name_of(one))
    return order


def name_of(one: Piece) -> str:
    return str(one.backbone)


def put(turns: Turns, tenant_id: str, name: str, **more: Any) -> Piece:
    one = piece(tenant_id, name=name, **more)
    turns.put(one)
    return one


def error_of(one: Piece) -> BaseException | None:
    answer: Any = one.answer
    assert isinstance(answer, Answer)
    return answer.error


def test_tenants_take_turns(turns: Turns) -> None:
    """Who comes later with little does not wait for all of who came first with much."""
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        put(turns, name[0], name, cost_ms=CREDIT_MS)
    assert names(turns) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_turns_are_by_cost_and_weight(turns: Turns) -> None:
    """Twice the cost is half the turns, twice the weight is twice the turns."""
    for number in range(400):
        put(turns, "dear", f"d{number}", cost_ms=20.0)
        put(turns, "cheap", f"c{number}", cost_ms=10.0)
        put(turns, "heavy", f"h{number}", cost_ms=20.0, stay=Stay("heavy", weight=2.0))
    first = "".join(name[0] for name in names(turns)[:400])
    assert [first.count(one) for one in "dch"] == pytest.approx([80, 160, 160], abs=2)


def test_what_a_piece_took_is_paid(turns: Turns) -> None:
    for number in range(400):
        put(turns, "liar", f"l{number}", cost_ms=1.0)
        put(turns, "honest", f"h{number}", cost_ms=1.0)
    had = {"liar": 0.0, "honest": 0.0}
    for _ in range(300):
        one = turns.take(wait=False)
        assert one is not None
        took = 9.0 if one.tenant_id == "liar" else 1.0
        turns.settle(one, took)
        had[one.tenant_id] += took
    assert had["liar"] == pytest.approx(had["honest"], abs=CREDIT_MS / 10)


def test_cancelled_pieces_never_start(turns: Turns, metrics: Metrics) -> None:
    put(turns, "t", "stays")
    left = put(turns, "t", "left")
    turns.forget(left)
    turns.forget(left)
    assert turns.n_waiting == 1, "it is no more of what waits, at once"
    assert names(turns) == ["stays"]
    assert seen(metrics, "icecore_never_started_total", why="cancelled") == 1


def test_forgetting_what_was_taken_changes_nothing(turns: Turns, metrics: Metrics) -> None:
    put(turns, "t", "runs")
    one = turns.take(wait=False)
    assert one is not None
    turns.forget(one)
    assert turns.n_waiting == 0
    assert one.left_at is None
    assert seen(metrics, "icecore_never_started_total", why="cancelled") == 0


def test_a_piece_whose_caller_left_unseen_is_passed_over(turns: Turns, metrics: Metrics) -> None:
    left = put(turns, "t", "left")
    put(turns, "t", "stays")
    left.answer.is_done = True  # type: ignore[attr-defined]
    assert names(turns) == ["stays"]
    assert seen(metrics, "icecore_never_started_total", why="cancelled") == 1


def test_expired_pieces_are_answered_and_never_start(
    turns: Turns, clock: Clock, metrics: Metrics
) -> None:
    late = put(turns, "t", "late", deadline=clock.now + 1)
    put(turns, "t", "in time", deadline=clock.now + 3)
    clock.now += 1
    assert names(turns) == ["in time"]
    assert isinstance(error_of(late), DeadlineExceeded)
    assert seen(metrics, "icecore_never_started_total", why="expired") == 1


def test_a_piece_left_after_its_deadline_counts_as_expired(
    turns: Turns, clock: Clock, metrics: Metrics
) -> None:
    one = put(turns, "t", "late", deadline=clock.now + 1)
    clock.now += 2
    turns.forget(one)
    assert seen(metrics, "icecore_never_started_total", why="expired") == 1


def test_passing_over_costs_the_tenant_nothing(turns: Turns, clock: Clock) -> None:
    for number in range(50):
        put(turns, "a", f"late{number}", cost_ms=CREDIT_MS, deadline=clock.now)
    put(turns, "b", "b", cost_ms=CREDIT_MS)
    put(turns, "a", "a", cost_ms=CREDIT_MS)
    assert names(turns) == ["a", "b"]


def test_a_call_that_waited_too_long_is_refused_whole_or_not_at_all(
    turns: Turns, clock: Clock
) -> None:
    late = Stay("t", late_at=clock.now + 1)
    begun = Stay("t", late_at=clock.now + 1)
    pieces = [put(turns, "t", name, stay=begun) for name in ("b0", "b1")]
    refused = [put(turns, "t", name, stay=late) for name in ("l0", "l1")]
    assert turns.take(wait=False) is pieces[0]
    clock.now += 2
    assert names(turns) == ["b1"]
    assert all(isinstance(error_of(one), Overloaded) for one in refused)
    assert error_of(pieces[1]) is None


def test_what_is_let_go_is_let_go_at_once(turns: Turns) -> None:
    """Else callers who come and leave would fill the memory with their images."""

    class Image:
        pass

    image = Image()
    held = weakref.ref(image)
    one = put(turns, "t", "left")
    one.image = image  # type: ignore[assignment]
    put(turns, "t", "stays")
    turns.forget(one)
    del one, image
    gc.collect()
    assert held() is None


def test_more_pieces_for_a_pass_come_from_all_tenants_in_turn(turns: Turns) -> None:
    for name in ("a1", "a2", "a3", "b1", "c1"):
        put(turns, name[0], name)
    put(turns, "d", "other")
    more = turns.take_more(lambda one: name_of(one) != "other", 4)
    assert [name_of(one) for one in more] == ["a1", "b1", "c1", "a2"]
    assert turns.take_more(lambda one: name_of(one) == "absent", 4) == []
    assert names(turns) in (["other", "a3"], ["a3", "other"])


def test_more_pieces_are_paid_by_whose_they_are(turns: Turns) -> None:
    for number in range(10):
        put(turns, "a", f"a{number}", cost_ms=CREDIT_MS)
        put(turns, "b", f"b{number}", cost_ms=CREDIT_MS)
    turns.take_more(lambda one: one.tenant_id == "a", 4)
    assert names(turns)[:5] == ["b0", "b1", "b2", "b3", "a4"]


def test_whoever_comes_after_a_batch_starts_no_later_for_it(turns: Turns) -> None:
    """Pieces that went along before their turn do not move the others' time on."""
    for number in range(3):
        put(turns, "a", f"a{number}", cost_ms=10 * CREDIT_MS)
    for number in range(9):
        put(turns, "b", f"b{number}", cost_ms=CREDIT_MS)
    assert name_of(turns.take_more(lambda one: one.tenant_id == "a", 1)[0]) == "a0"
    assert name_of(turns.take_more(lambda one: one.tenant_id == "a", 1)[0]) == "a1"
    put(turns, "new", "new", cost_ms=CREDIT_MS)
    assert "new" in names(turns)[:2]


def test_only_some_tenants_are_asked_for_more(turns: Turns) -> None:
    for number in range(10 * MOST_ASKED):
        put(turns, f"t{number}", "other")
    put(turns, "z", "fits")
    asked: list[str] = []

    def fits(one: Piece) -> bool:
        asked.append(one.tenant_id)
        return False

    turns.take_more(fits, 8)
    assert asked == [f"t{number}" for number in range(MOST_ASKED)]


def test_a_waiting_thread_gets_the_next_piece(turns: Turns) -> None:
    taken: list[Piece | None] = []
    thread = threading.Thread(target=lambda: taken.append(turns.take()))
    thread.start()
    one = put(turns, "t", "one")
    thread.join(30)
    assert taken == [one]


def test_closed_turns_give_back_what_waited_and_take_nothing(turns: Turns) -> None:
    taken: list[Piece | None] = []
    put(turns, "t", "first")
    threads = [
        threading.Thread(target=lambda: taken.append(turns.take())),
        threading.Thread(target=lambda: taken.append(turns.take())),
    ]
    for thread in threads:
        thread.start()
    while turns.n_waiting:
        pass
    assert turns.close() == []
    for thread in threads:
        thread.join(30)
    assert [name_of(one) if one else None for one in taken] in (["first", None], [None, "first"])
    with pytest.raises(ShuttingDown):
        put(turns, "t", "late")
    assert turns.close() == []


def test_closing_gives_back_what_waits(turns: Turns) -> None:
    left = [put(turns, tenant_id, tenant_id) for tenant_id in "abc"]
    assert turns.close() == left
    assert turns.n_waiting == 0
    assert turns.take() is None


def test_each_step_stays_small_with_ten_thousand_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """30,000 pieces of 10,000 tenants: at most ten heap steps a piece, in and out."""
    heap = CountingHeap(monkeypatch)
    turns = Turns()
    one_for_all = piece("t")
    pieces = []
    for number in range(30_000):
        tenant_id = f"t{number % 10_000}"
        one = Piece(
            one_for_all.backbone,
            (),
            one_for_all.prepare,
            one_for_all.keep,
            one_for_all.answer,
            tenant_id=tenant_id,
            cost_ms=1.0 + number % 7,
        )
        pieces.append(one)
        turns.put(one)
    for one in pieces[::10]:
        turns.forget(one)
    for _ in range(27_000):
        taken = turns.take(wait=False)
        assert taken is not None
        turns.settle(taken, 3.0)
    assert turns.take(wait=False) is None
    assert heap.n_steps <= 10 * 30_000


def test_a_hastened_piece_goes_first_once_and_keeps_its_answer(turns: Turns, clock: Clock) -> None:
    late = Stay("t", Priority.BULK, late_at=clock.now + 1)
    bulk = [
        put(turns, "t", name, priority=Priority.BULK, stay=late) for name in ("one", "two", "three")
    ]
    faster = turns.hasten(bulk[2])
    assert faster is not bulk[2]
    assert faster.answer is bulk[2].answer
    assert turns.hasten(faster) is faster, "it is no lower than it can be"
    assert (turns.n_waiting, bulk[2].is_waiting, faster.is_waiting) == (3, False, True)
    clock.now += 2
    assert names(turns) == ["three", "one", "two"], "it is not too late, and its call has begun"
    assert turns.n_waiting == 0


def test_a_call_of_which_a_hastened_piece_has_begun_is_finished(turns: Turns, clock: Clock) -> None:
    stay = Stay("t", Priority.BULK, late_at=clock.now + 1)
    bulk = [put(turns, "t", name, priority=Priority.BULK, stay=stay) for name in ("one", "two")]
    faster = turns.hasten(bulk[1])
    assert turns.take(wait=False) is faster
    assert stay.has_started
    clock.now += 2
    assert names(turns) == ["one"]


def test_what_runs_already_is_not_hastened(turns: Turns) -> None:
    bulk = put(turns, "t", "one", priority=Priority.BULK)
    assert turns.take(wait=False) is bulk
    assert turns.hasten(bulk) is bulk
    assert turns.n_waiting == 0
