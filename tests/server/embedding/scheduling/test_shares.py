"""Shares: the order of turns against the fluid ideal, and what it takes to find it."""

from random import Random

import pytest

from counting_heap import CountingHeap
from icecore.server.embedding.scheduling.shares import Shares


def serve(shares: Shares[str], costs: dict[str, float], n: int) -> list[str]:
    """Serve `n` turns of flows that all go on waiting."""
    order = []
    for _ in range(n):
        key = shares.first()
        assert key is not None
        shares.charge(key, costs[key])
        order.append(key)
    return order


def test_equal_flows_take_turns_in_the_order_they_came() -> None:
    shares: Shares[str] = Shares()
    for key in "abc":
        shares.join(key)
    assert "".join(serve(shares, dict.fromkeys("abc", 7.0), 6)) == "abcabc"


@pytest.mark.parametrize("seed", range(5))
def test_no_flow_is_ever_further_from_its_fluid_share_than_one_piece_of_each(seed: int) -> None:
    """Goyal, Vin and Cheng 1996, theorem 1: between two flows that wait, service over weight
    differs by at most the largest piece of either over its weight.
    """
    random = Random(seed)
    keys = [f"t{i}" for i in range(6)]
    weights = {key: random.choice([0.25, 1.0, 3.0]) for key in keys}
    largest = {key: random.uniform(1, 50) for key in keys}
    shares: Shares[str] = Shares()
    for key in keys:
        shares.join(key, weights[key])
    had = dict.fromkeys(keys, 0.0)
    for _ in range(3000):
        turn = shares.first()
        assert turn is not None
        cost = random.uniform(0.1, 1.0) * largest[turn]
        shares.charge(turn, cost)
        had[turn] += cost
        for one in keys:
            for other in keys:
                apart = had[one] / weights[one] - had[other] / weights[other]
                most = largest[one] / weights[one] + largest[other] / weights[other]
                assert apart <= most + 1e-9, (seed, one, other)


def test_who_was_idle_has_no_more_than_the_credit_before_the_others() -> None:
    shares: Shares[str] = Shares(credit=30.0)
    shares.join("busy")
    serve(shares, {"busy": 10.0}, 100)
    shares.join("idle")
    order = serve(shares, dict.fromkeys(("busy", "idle"), 10.0), 20)
    assert order[:4].count("idle") >= 3, "three pieces of its credit"
    assert order.count("idle") <= 12, "and then one in turn"
    assert order[6:] == ["busy", "idle"] * 7 or order[6:] == ["idle", "busy"] * 7


def test_coming_and_going_gives_no_more_than_staying() -> None:
    """A flow that leaves after each piece and comes back at once gets its share and the credit."""
    shares: Shares[str] = Shares(credit=30.0)
    shares.join("stays")
    had = {"stays": 0.0, "comes": 0.0}
    for _ in range(1000):
        shares.join("comes")
        key = shares.first()
        assert key is not None
        shares.charge(key, 10.0)
        had[key] += 10.0
        if key == "comes":
            shares.leave("comes")
    assert abs(had["comes"] - had["stays"]) <= 30.0 + 2 * 10.0


def test_who_costs_more_than_was_said_pays_the_rest() -> None:
    """Said to cost 1, costs 20: the processor is shared by what was taken, not by what was said."""
    shares: Shares[str] = Shares()
    had = {"liar": 0.0, "honest": 0.0}
    shares.join("liar")
    shares.join("honest")
    for _ in range(2000):
        key = shares.first()
        assert key is not None
        shares.charge(key, 1.0)
        took = 20.0 if key == "liar" else 1.0
        shares.correct(key, took - 1.0)
        had[key] += took
    assert had["liar"] == pytest.approx(had["honest"], abs=2 * 20.0)


def test_what_is_owed_is_still_owed_after_leaving() -> None:
    shares: Shares[str] = Shares()
    shares.join("a")
    shares.join("b")
    assert shares.first() == "a"
    shares.charge("a", 1.0)
    shares.leave("a")
    shares.correct("a", 49.0)
    shares.join("a")
    order = serve(shares, {"a": 10.0, "b": 10.0}, 6)
    assert order == ["b"] * 5 + ["a"]


def test_when_nobody_waits_all_is_forgiven() -> None:
    shares: Shares[str] = Shares()
    shares.join("a")
    shares.charge("a", 1000.0)
    shares.leave("a")
    assert shares.first() is None
    assert len(shares) == 0
    shares.join("b")
    shares.join("a")
    assert serve(shares, {"a": 1.0, "b": 1.0}, 4) == ["b", "a", "b", "a"]


def test_those_who_owe_nothing_are_forgotten() -> None:
    shares: Shares[str] = Shares(credit=5.0)
    shares.join("stays")
    for number in range(1000):
        key = f"t{number}"
        shares.join(key)
        while shares.first() != key:
            shares.charge("stays", 1.0)
        shares.charge(key, 3.0)
        shares.leave(key)
        serve(shares, {"stays": 1.0}, 3)
    assert len(shares) < 20


def test_a_turn_takes_a_few_steps_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10,000 flows: at most eight heap steps a turn, in heaps of a few places a flow."""
    heap = CountingHeap(monkeypatch)
    random = Random(7)
    shares: Shares[str] = Shares(credit=10.0)
    for number in range(10_000):
        shares.join(f"t{number}", random.choice([0.5, 1.0, 2.0]))
    heap.n_steps = 0
    n_turns = 30_000
    for _ in range(n_turns):
        key = shares.first()
        assert key is not None
        shares.charge(key, random.uniform(1, 50))
        shares.correct(key, random.uniform(-0.9, 3.0))
        if random.random() < 0.3:
            shares.leave(key)
            shares.join(key)
    assert heap.n_steps <= 8 * n_turns
    assert heap.largest <= 10 * 10_000


def test_turns_are_as_fair_after_any_time() -> None:
    """A float of 1e18 knows no milliseconds: who is charged so much changes nothing for others."""
    shares: Shares[str] = Shares(credit=200.0)
    for key in ("waits", "far"):
        shares.join(key)
    shares.leave("waits")
    for _ in range(3):
        shares.charge("far", 1e18)
    shares.leave("far")
    costs = {"dear": 40.0, "cheap": 4.0}
    for key in costs:
        shares.join(key)
    had = dict.fromkeys(costs, 0.0)
    for _ in range(2000):
        key = serve(shares, costs, 1)[0]
        had[key] += costs[key]
    assert had["dear"] == pytest.approx(had["cheap"], abs=2 * 40.0)


def test_setting_virtual_time_back_changes_nobodys_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those who left and owe. Costs are whole numbers, so that nothing is rounded."""

    def turns() -> list[str]:
        random = Random(11)
        shares: Shares[str] = Shares(credit=64.0)
        order = []
        for number in range(3000):
            shares.join(f"t{random.randrange(8)}", random.choice([0.5, 1.0, 2.0]))
            key = shares.first()
            assert key is not None
            shares.charge(key, float(random.randint(1, 50)), in_turn=number % 5 > 0)
            shares.correct(key, float(random.randint(-20, 100)))
            if random.random() < 0.5:
                shares.leave(key)
            order.append(f"{key} of {len(shares)}")
        return order

    never = turns()
    monkeypatch.setattr("icecore.server.embedding.scheduling.shares._FAR", 500.0)
    assert turns() == never
