"""Plans: what a measurement decides, where it is kept, when it is made."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.working import measuring
from icecore.server.embedding.working.measuring import (
    MARGIN,
    Disturbed,
    candidates,
    decided,
    measure,
)
from icecore.server.embedding.working.plan_file import PlanFile, place
from icecore.server.embedding.working.planner import Planner
from icecore.server.embedding.working.plans import MOST_THREADS, Plan, Plans, naive_plan
from toys import toy_backbone

NAIVE = Plan(lone_threads=4, batch=1)
TOY = toy_backbone()
DIGEST = TOY.digest


def test_a_plan_is_never_slower_than_the_naive_one() -> None:
    random = np.random.default_rng(8)
    for _ in range(500):
        lone = {n: float(ms) for n, ms in zip((1, 2, 4), random.uniform(1, 9, 3), strict=True)}
        batch = {n: n * float(random.uniform(1, 2)) for n in (1, 2, 4, 8)}
        plan = decided(NAIVE, lone, batch)
        assert lone[plan.lone_threads] <= lone[NAIVE.lone_threads]
        assert batch[plan.batch] / plan.batch <= batch[NAIVE.batch] / NAIVE.batch
        assert plan.lone_threads == 4 or lone[plan.lone_threads] * (1 + MARGIN) < lone[4]
        assert plan.batch == 1 or batch[plan.batch] / plan.batch * (1 + MARGIN) < batch[1]


def test_ties_go_to_the_naive_plan() -> None:
    batch = {1: 10.0, 2: 19.6, 4: 39.0, 8: 77.0}
    assert decided(NAIVE, {1: 5.0, 2: 4.9, 4: 5.1}, batch) == Plan(4, 1, 0.4286, 9.5714)


def test_of_plans_as_good_the_smaller_is_taken() -> None:
    plan = decided(NAIVE, {1: 3.0, 2: 2.95, 4: 6.0}, {1: 10.0, 2: 14.0, 4: 24.2, 8: 48.0})
    assert (plan.lone_threads, plan.batch) == (1, 4)


def test_what_a_pass_and_an_image_cost_adds_up() -> None:
    plan = decided(NAIVE, {4: 1.0}, {n: 3.0 + 0.5 * n for n in (1, 2, 4, 8, 16)})
    assert (plan.a_pass_ms, plan.an_image_ms) == (3.0, 0.5)
    assert plan.batch == 16


def test_candidates_hold_the_naive_plan_and_end_at_the_threads_there_are() -> None:
    for threads in (1, 2, 3, 6, 64):
        naive = naive_plan(threads, is_cpu=True)
        lone, batches = candidates(naive, threads=threads, is_cpu=True)
        assert naive.lone_threads in lone
        assert naive.batch in batches
        assert lone == sorted(set(lone))
        assert max(lone) == min(threads, MOST_THREADS)
    naive = naive_plan(16, is_cpu=False)
    lone, batches = candidates(naive, threads=16, is_cpu=False)
    assert lone == [1]
    assert naive.batch in batches


def timed(of: Callable[[int, int, int], float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let passes take what `of` images, threads and passes at once says; the images of each."""
    seen: list[int] = []

    def instead(_: object, n_images: int, threads: int, at_once: int) -> float:
        seen.append(n_images)
        return of(n_images, threads, at_once)

    monkeypatch.setattr(measuring, "_timed", instead)
    return seen


def test_on_a_device_larger_passes_are_tried_while_they_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = timed(lambda n, *_: 4 + n * (0.1 if n <= 32 else 0.5), monkeypatch)
    plan = measure(lambda *_: None, Plan(1, 8), threads=4, at_once=2, is_cpu=False)
    assert plan.batch == 32
    assert max(seen) == 64, "twice as many only took longer for each"


def test_on_a_processor_nobody_waits_for_a_long_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = timed(lambda n, *_: 40.0 * n, monkeypatch)
    measure(lambda *_: None, NAIVE, threads=4, at_once=4, is_cpu=True)
    assert max(seen) == 2


def test_what_was_measured_beside_others_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(lambda n, *_: float(n), monkeypatch)
    asked = iter([False, False, True])
    with pytest.raises(Disturbed):
        measure(
            lambda *_: None,
            NAIVE,
            threads=1,
            at_once=1,
            is_cpu=True,
            is_disturbed=lambda: next(asked),
        )


def test_passes_are_really_made() -> None:
    made: list[tuple[int, int]] = []
    plan = measure(
        lambda n, threads: made.append((n, threads)),
        naive_plan(2, is_cpu=True),
        threads=2,
        at_once=3,
        is_cpu=True,
    )
    assert {(1, 1), (1, 2), (2, 1), (8, 1)} <= set(made)
    assert plan.lone_threads in (1, 2)


def test_plans_are_kept_for_their_place_only(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    here, elsewhere = PlanFile(path, place("cpu/1", 2)), PlanFile(path, place("cpu/1", 4))
    assert here.read() == {}
    plan = Plan(2, 4, 1.5, 0.25)
    here.write("a" * 64, plan)
    elsewhere.write("b" * 64, NAIVE)
    assert here.read() == {"a" * 64: plan}
    assert elsewhere.read() == {"b" * 64: NAIVE}
    elsewhere.write("a" * 64, NAIVE)
    assert here.read() == {}, "the data were moved to another machine"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["plans.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        b'{"version": 2, "plans": {}}',
        b'{"version": 1, "plans": [1]}',
        b'{"version": 1, "plans": {"a": 5}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "batch": 0}}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "batch": 2.5}}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "batch": "2"}}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "lone_threads": 1e9}}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "an_image_ms": NaN}}}',
        b'{"version": 1, "plans": {"a": {"place": "p", "unknown": 1}}}',
    ],
)
def test_a_file_that_makes_no_sense_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plans.json"
    path.write_bytes(content)
    file = PlanFile(path, "p")
    assert file.read() == {}
    file.write("c" * 64, NAIVE)
    assert file.read() == {"c" * 64: NAIVE}


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    plans = {f"{i:064d}": {"place": "p", **Plan(1, 1 + i % 8).to_json()} for i in range(256)}
    path.write_text(json.dumps({"version": 1, "plans": plans}))
    file = PlanFile(path, "p")
    file.write("d" * 64, NAIVE)
    kept = file.read()
    assert len(kept) == 256
    assert "d" * 64 in kept
    assert f"{0:064d}" not in kept


class Measured:
    """A planner over the toy, told to be busy or not."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_busy = False
        self.n_measured = 0
        monkeypatch.setattr("icecore.server.embedding.working.planner.measure", self._measure)
        self.sessions = Sessions(max_bytes=1 << 24, threads=2)
        self.planner = Planner(
            self.sessions,
            PlanFile(path, "here"),
            threads=2,
            naive=NAIVE,
            is_busy=lambda: self.is_busy,
            after_passes=3,
            quiet_s=0.0,
        )

    def _measure(self, run: Callable[[int, int], object], *_: object, **__: object) -> Plan:
        self.n_measured += 1
        run(2, 1)
        run(1, 2)
        if self.n_measured == 1:
            raise Disturbed
        return Plan(2, 2)

    def saw(self, times: int) -> None:
        for _ in range(times):
            self.planner.saw(TOY)
        self.planner._wishes.wait()


def test_a_backbone_is_measured_once_it_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plans.json"
    first = Measured(path, monkeypatch)
    first.saw(2)
    assert first.n_measured == 0
    assert first.planner.plans.of(DIGEST) == NAIVE
    first.saw(1)
    assert first.n_measured == 2, "the first time it was disturbed"
    assert first.planner.plans.of(DIGEST) == Plan(2, 2)
    assert first.sessions.n_kept == 0, "what was tried is not kept"
    first.saw(100)
    assert first.n_measured == 2
    first.planner.close()

    again = Measured(path, monkeypatch)
    assert again.planner.plans.of(DIGEST) == Plan(2, 2), "known from the start"
    again.saw(100)
    assert again.n_measured == 0


def test_nothing_is_measured_while_there_is_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Measured(tmp_path / "plans.json", monkeypatch)
    busy.is_busy = True
    for _ in range(3):
        busy.planner.saw(TOY)
    busy.planner.close()  # does not wait for quiet
    assert busy.n_measured == 0
    busy.saw(100)
    assert busy.n_measured == 0


def test_without_a_file_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Plan:
        raise AssertionError("measured")

    monkeypatch.setattr("icecore.server.embedding.working.planner.measure", never)
    sessions = Sessions(max_bytes=1 << 24, threads=2)
    planner = Planner(
        sessions, None, threads=2, naive=NAIVE, is_busy=lambda: False, after_passes=1, quiet_s=0.0
    )
    planner.saw(TOY)
    planner.close()
    assert planner.plans.of(DIGEST) == NAIVE


def test_a_real_measurement_of_the_toy_ends(tmp_path: Path) -> None:
    sessions = Sessions(max_bytes=1 << 24, threads=2)
    file = PlanFile(tmp_path / "plans.json", "here")
    planner = Planner(
        sessions,
        file,
        threads=2,
        naive=naive_plan(2, is_cpu=True),
        is_busy=lambda: False,
        after_passes=1,
        quiet_s=0.0,
    )
    planner.saw(TOY)
    planner._wishes.wait()
    assert list(file.read()) == [DIGEST]
    assert planner.plans.is_decided(DIGEST)


def test_codes_do_not_depend_on_the_plan() -> None:
    """Alone, in a batch, on one thread or two."""
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    random = np.random.default_rng(1)
    inputs = random.normal(size=(8, *TOY.recipe.shape)).astype(np.float32)
    batch = sessions.run(TOY, TOY.core, inputs)
    for threads in (1, 2):
        for row in range(8):
            alone = sessions.run(TOY, TOY.core, inputs[row : row + 1], threads=threads)
            for a, b in zip(alone, batch, strict=True):
                assert np.allclose(a[0], b[row], rtol=1e-6, atol=1e-6)
    sessions.close()


def test_plans_out_of_range_cannot_be() -> None:
    unlikely: list[dict[str, Any]]
    unlikely = [{"lone_threads": 0}, {"batch": 0}, {"batch": 257}, {"an_image_ms": -1.0}]
    for values in unlikely:
        with pytest.raises(ValueError, match="but must be"):
            Plan(**values)
    assert Plans(NAIVE).of("unknown") is NAIVE
