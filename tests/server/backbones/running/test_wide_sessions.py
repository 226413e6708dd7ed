"""Sessions of several threads: the same codes, made aside, few at once."""

import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running import sessions as running
from icecore.server.backbones.running.feeds import Feed
from icecore.server.backbones.running.kept_sessions import MOST_WIDE, Form, KeptSessions, Session
from icecore.server.backbones.running.loaded import FloatArray, InputArray
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.backbones.running.shared_weights import Weight
from icecore.server.backbones.running.wishes import Wishes
from icecore.wire.taps import Pooling, PoolingKind, TapId
from toys import toy_backbone


def images(backbone: Backbone, n: int = 1) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(3)
    return random.normal(size=(n, *backbone.recipe.shape)).astype(np.float32)


def n_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def settled(sessions: Sessions) -> None:
    """Wait for what is made in the background."""
    sessions._wishes.wait()


def test_codes_do_not_depend_on_the_threads(lite0: Backbone) -> None:
    """To the bit: a thread computes whole values, in the same order of additions."""
    inputs = images(lite0)
    expected = Sessions(max_bytes=1 << 30, threads=1).run(lite0, lite0.core, inputs)
    for threads in (2, 3, 8):
        sessions = Sessions(max_bytes=1 << 30, threads=1)
        sessions.run(lite0, lite0.core, inputs, threads=threads)
        settled(sessions)
        made = sessions.run(lite0, lite0.core, inputs, threads=threads)
        assert sessions._kept.is_ready(Form(lite0.core, Feed.FLOATS, threads))
        for tap, a, b in zip(lite0.core, made, expected, strict=True):
            assert np.array_equal(a, b), f"{threads} threads, '{tap}'"


def test_the_first_pass_waits_for_one_session_only() -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=4)
    sessions.run(toy, toy.core, images(toy))
    assert sessions._kept.is_ready(Form(toy.core, Feed.FLOATS, 1))
    settled(sessions)
    sessions.run(toy, toy.core, images(toy))
    assert sessions._kept.is_ready(Form(toy.core, Feed.FLOATS, 4))
    assert sessions.n_kept == 2


def test_where_there_is_no_room_none_is_made_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would drive out what was used before, which then would be made again, and so on."""
    made: list[Form] = []
    real = Sessions._made

    def counted(sessions: Sessions, backbone: Backbone, form: Form) -> Session:
        made.append(form)
        return real(sessions, backbone, form)

    monkeypatch.setattr(Sessions, "_made", counted)
    toy = toy_backbone()
    sessions = Sessions(max_bytes=0, threads=4)
    for threads in (4, 1, 4, 1):
        sessions.run(toy, toy.core, images(toy), threads=threads)
        settled(sessions)
    assert [form.threads for form in made] == [1]


def test_pools_do_not_add_up() -> None:
    """However many sets of taps are read, the threads of ONNX Runtime stay few."""
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=3)
    before = n_threads()
    layers = [toy.layer(str(depth)) for depth in (1, 2, 3)]
    for layer in layers * 3:
        sessions.run(toy, [toy.tap(layer)], images(toy))
        settled(sessions)
    # A thread that has ended for Python may live a moment longer for Linux.
    deadline = time.monotonic() + 10.0
    while n_threads() - before > MOST_WIDE * 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert n_threads() - before <= MOST_WIDE * 2


class Made:
    """A session that takes 100 bytes."""

    def __init__(self) -> None:
        self.weights: dict[str, Weight] = {}
        self.own_bytes = 100

    def run(self, inputs: InputArray) -> list[FloatArray]:
        raise NotImplementedError


def test_a_wide_session_in_use_is_not_replaced() -> None:
    now = 0.0
    kept = KeptSessions(10_000, clock=lambda: now)
    forms = [Form((TapId("0" * 64, f"layer{i}"),), Feed.FLOATS, 2) for i in range(3)]
    narrow = Made()
    for form in forms[:MOST_WIDE]:
        assert kept.has_room_for(form, narrow)
        kept.make(form, Made)
    assert not kept.has_room_for(forms[2], narrow)
    now = 4.0
    kept.get(forms[0])
    now = 6.0
    assert kept.has_room_for(forms[2], narrow), "the second was not used for six seconds"
    kept.make(forms[2], Made)
    assert [kept.is_ready(form) for form in forms] == [True, False, True]


def test_what_could_not_be_made_aside_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    expected = sessions.run(toy, toy.core, images(toy))

    def fails(*rest: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Sessions, "_made", fails)
    for _ in range(2):
        made = sessions.run(toy, toy.core, images(toy), threads=2)
        settled(sessions)
        assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))


def test_where_no_thread_can_be_started_passes_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    expected = sessions.run(toy, toy.core, images(toy))

    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        made = sessions.run(toy, toy.core, images(toy), threads=2)
    assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))
    assert [one.message for one in caplog.records] == ["not_prepared"]
    sessions.run(toy, toy.core, images(toy), threads=2)
    settled(sessions)
    assert sessions._kept.is_ready(Form(toy.core, Feed.FLOATS, 2)), "the next one asks again"


def test_close_returns_when_nothing_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    began, may_end = threading.Event(), threading.Event()
    real, real_wait = Sessions._made, Wishes.wait

    def slow(sessions: Sessions, backbone: Backbone, form: Form) -> Session:
        if form.threads > 1:
            began.set()
            assert may_end.wait(30), "nobody waited for it"
        session = real(sessions, backbone, form)
        made.append(form.threads)
        return session

    def told(wishes: Wishes) -> None:
        may_end.set()
        real_wait(wishes)

    monkeypatch.setattr(Sessions, "_made", slow)
    monkeypatch.setattr(Wishes, "wait", told)
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=2)
    sessions.run(toy, toy.core, images(toy))
    assert began.wait(30)
    sessions.close()
    assert made == [1, 2]
    assert sessions.n_kept == 0


def test_what_is_often_missed_is_made_once_in_so_many_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it cannot be made, it is not tried at every pass from then on."""
    n_tried = 0

    def fails(*_: object) -> None:
        nonlocal n_tried
        n_tried += 1
        raise MemoryError("no room")

    monkeypatch.setattr(running, "MISSED_OFTEN", 3)
    monkeypatch.setattr(Sessions, "_made", fails)
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    for _ in range(9):
        assert not sessions.is_at_hand(toy, toy.core, Feed.FLOATS)
        settled(sessions)
    assert n_tried == 3


def test_of_what_is_missed_once_little_is_remembered() -> None:
    """Callers may read layers in ever new ways."""
    toy = toy_backbone()
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    for number in range(3 * running._MOST_MISSED):
        tap = toy.tap(toy.layer("1"), pooling=Pooling(PoolingKind.GEM, 1 + number / 1000))
        sessions.is_at_hand(toy, [tap], Feed.FLOATS)
        assert len(sessions._missed) <= running._MOST_MISSED + 1
