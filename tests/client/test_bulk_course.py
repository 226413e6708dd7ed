"""Of many images each is answered once, in order, whatever the server says on the way."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icecore.client import (
    CodesBatch,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Reason,
    ResourceExhausted,
    TapId,
    Unavailable,
    Waiting,
)
from icecore.client._bulk.course import Course, Send, Told, Wait
from icecore.client._bulk.patience import PATIENCE_S, Patience
from icecore.client._bulk.plan import ANSWER_BYTES, BulkPlan, numbered
from icecore.client._operations.codes import embed_plan
from icecore.client._pacing import Met
from icecore.client.errors import IcecoreError
from icecore.wire.codes import Codes

TAP = TapId(digest="ab" * 32, layer="x")
BAD = b"bad"


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Model:
    """A server of the contract, as a function; `limit` is the most images a call."""

    def __init__(self, seed: int = 0, *, names: bool = True, limit: int = 1 << 30) -> None:
        self.dice = random.Random(seed)
        self.names, self.limit = names, limit
        self.hiccups: list[IcecoreError] = []
        self.computed: list[bytes] = []
        self.digest = TAP.digest

    def __call__(self, step: Send) -> Told:
        if self.hiccups:
            return self.hiccups.pop()
        request: Any = step.operation.request
        images = [image.encoded for image in request.images]
        assert images, "an empty call is never sent"
        if len(images) > self.limit:
            return InvalidArgument("too many", reason=Reason.IMAGES_TOO_MANY)
        if BAD in images:
            place = images.index(BAD)
            details = {"image": str(place)} if self.names else {}
            name = f"image {place}" if self.names else "something"
            sentence = f"{name} is truncated: it ends before the JPEG does"
            return InvalidArgument(sentence, reason=Reason.IMAGE_TRUNCATED, details=details)
        self.computed += images
        values = np.array([[float(image)] for image in images], np.float32)
        return [Codes(values, TapId(digest=self.digest, layer="x"))]


def plan(clock: Clock | None = None, **given: Any) -> BulkPlan:
    asked = embed_plan(backbone="", layers=-1, activation="relu", pooling="avg", dtype="float32")
    patience = Patience(given.pop("timeout_s", None), clock or Clock())
    return BulkPlan(asked, patience, **given)


def run(plan: BulkPlan, server: Model, images: Sequence[Any], clock: Clock) -> CodesBatch:
    course = Course(plan, list(numbered(images)))
    told: Told = None
    while True:
        step = course.next(told)
        if isinstance(step, CodesBatch):
            return step
        if isinstance(step, Wait):
            assert step.seconds >= 0
            clock.now += step.seconds
            told = None
        else:
            told = server(step)


@pytest.mark.parametrize("names", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("seed", range(30))
def test_each_good_image_has_its_codes_and_each_bad_one_its_reason(seed: int, names: bool) -> None:
    dice = random.Random(seed)
    images = [BAD if dice.random() < 0.2 else b"%d" % place for place in range(dice.randrange(40))]
    clock, server = Clock(), Model(names=names, limit=dice.choice([1, 3, 8, 1 << 30]))
    full = ResourceExhausted("full", reason=Reason.OVERLOADED)
    full.retry_after_s = 3.0
    shared = plan(clock, on_error="skip")
    run(shared, server, [b"0"], clock)  # it has answered before
    server.computed.clear()
    server.hiccups = dice.sample([full, Unavailable("away"), DeadlineExceeded("late")] * 2, 4)
    if not images:
        server.hiccups = []
    elif len(images) < 8:
        server.hiccups = [one for one in server.hiccups if not isinstance(one, DeadlineExceeded)]
    batch = run(shared, server, images, clock)
    good = [place for place, image in enumerate(images) if image != BAD]
    assert list(batch.indices) == good
    assert [one.index for one in batch.refused] == sorted(set(range(len(images))) - set(good))
    assert {one.reason for one in batch.refused} <= {Reason.IMAGE_TRUNCATED}
    values = [float(row[0]) for one in batch.codes for row in one.values]
    assert values == [float(place) for place in good]
    assert len(server.computed) == len(good), "no image is computed twice"


def test_an_image_is_named_by_its_file_or_its_place_among_all(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(BAD)
    for image, name in ((file, repr(str(file))), (BAD, "image 2")):
        sentence = f"{name} is truncated: it ends before the JPEG does"
        batch = run(plan(on_error="skip"), Model(), [b"0", b"1", image], Clock())
        [refused] = batch.refused
        assert (refused.index, refused.message) == (2, sentence)
        assert refused.path == (file if image is file else None)
        with pytest.raises(InvalidArgument) as raised:
            run(plan(), Model(), [b"0", b"1", image], Clock())
        assert str(raised.value) == sentence
        assert raised.value.reason == Reason.IMAGE_TRUNCATED


def test_a_file_that_cannot_be_read_is_a_refused_image(tmp_path: Path) -> None:
    images = [b"0", tmp_path / "absent.jpg", b"2"]
    batch = run(plan(on_error="skip"), Model(), images, Clock())
    assert batch.indices == (0, 2)
    [refused] = batch.refused
    assert (refused.index, refused.path, refused.reason) == (1, images[1], "FILE_UNREADABLE")
    assert refused.message.endswith("absent.jpg' cannot be read: no such file or directory")
    with pytest.raises(FileNotFoundError):
        run(plan(), Model(), images, Clock())


def test_what_is_no_image_at_all_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidArgument, match="image 1 is a 'int'"):
        run(plan(on_error="skip"), Model(), [b"0", 5], Clock())


def test_a_text_is_the_path_of_an_image(tmp_path: Path) -> None:
    there, absent = tmp_path / "0.jpg", tmp_path / "absent.jpg"
    there.write_bytes(b"7")
    server = Model()
    batch = run(plan(on_error="skip"), server, [str(there), str(absent)], Clock())
    assert (batch.indices, server.computed) == ((0,), [b"7"])
    assert [one.path for one in batch.refused] == [absent]


def test_a_full_server_is_waited_for_as_long_as_it_says() -> None:
    clock, server = Clock(), Model()
    full = ResourceExhausted("full")
    full.retry_after_s = 40.0
    server.hiccups = [full] * 100
    batch = run(plan(clock), server, [b"1"], clock)
    assert batch.indices == (0,)
    assert 100 * 40.0 <= clock.now - 100.0 <= 100 * 40.0 * 1.25


def test_where_a_retry_is_of_no_use_none_is_made() -> None:
    server = Model()
    server.hiccups = [ResourceExhausted("the disk is full", reason=Reason.STORAGE_FULL)]
    with pytest.raises(ResourceExhausted, match="the disk is full"):
        run(plan(on_error="skip"), server, [b"1", b"2"], Clock())
    assert server.computed == []


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    server = Model()
    server.hiccups = [Unavailable("nobody there")]
    with pytest.raises(Unavailable):
        run(plan(), server, [b"1"], Clock())


def test_a_server_that_has_answered_is_waited_for_a_minute() -> None:
    clock, server = Clock(), Model()
    shared = plan(clock)
    run(shared, server, [b"1"], clock)
    for _ in range(3):
        server.hiccups = [Unavailable("restarts")] * 12
        assert run(shared, server, [b"1"], clock).indices == (0,), "an answer gives it all back"
    began = clock.now
    server.hiccups = [Unavailable("restarts")] * 1000
    with pytest.raises(Unavailable):
        run(shared, server, [b"1"], clock)
    assert PATIENCE_S < clock.now - began < PATIENCE_S + 10


def test_the_time_of_all_images_is_bounded() -> None:
    clock, server = Clock(), Model()
    full = ResourceExhausted("full")
    full.retry_after_s = 4.0
    server.hiccups = [full] * 100
    with pytest.raises(DeadlineExceeded, match="no codes after 10 s; timeout_s"):
        run(plan(clock, timeout_s=10.0), server, [b"1"], clock)
    assert clock.now == pytest.approx(110.0)


def test_what_a_call_takes_is_learned_once() -> None:
    server, clock = Model(limit=4), Clock()
    shared = plan(clock)
    images = [b"%d" % place for place in range(32)]
    assert run(shared, server, images, clock).indices == tuple(range(32))
    assert shared.largest == 4
    server.computed.clear()
    server.limit = 3  # not asked for again what was refused before
    shared.smaller(6)
    assert run(shared, server, images, clock).indices == tuple(range(32))


def test_large_codes_make_small_calls() -> None:
    """Whole maps of early layers have megabytes an image."""
    shared = plan()
    row = np.zeros((4, ANSWER_BYTES // 4 // 3), np.float32)
    shared.checked([Codes(row, TAP)], 4)
    assert shared.largest == 3


def test_codes_of_a_replaced_backbone_are_not_given() -> None:
    server, clock, shared = Model(), Clock(), plan()
    run(shared, server, [b"1"], clock)
    server.digest = "cd" * 32
    with pytest.raises(FailedPrecondition, match="was replaced while images were on their way"):
        run(shared, server, [b"1"], clock)


@pytest.mark.parametrize("given", [{"in_flight": 0}, {"on_error": "ignore"}, {"batch_size": 0}])
def test_what_cannot_be_is_refused_before_anything_is_read(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        plan(**given)


def test_who_listens_hears_of_each_wait() -> None:
    heard: list[Waiting] = []
    clock, server, full = Clock(), Model(), ResourceExhausted("full", reason=Reason.RATE_LIMITED)
    full.retry_after_s = 3.0
    patience = Patience(None, clock, met=Met(heard.append))
    shared = BulkPlan(plan().embed, patience)
    run(shared, server, [b"0"], clock)
    assert not heard
    server.hiccups = [full, Unavailable("away"), Unavailable("away")]
    run(shared, server, [b"1"], clock)
    assert [(one.reason, one.message) for one in heard] == [
        ("UNAVAILABLE", "away"),
        ("UNAVAILABLE", "away"),
        ("RATE_LIMITED", "full"),
    ]
    left = pytest.approx(PATIENCE_S - heard[0].seconds)
    assert [one.most_s for one in heard] == [PATIENCE_S, left, None]
    assert sum(one.seconds for one in heard) == pytest.approx(clock.now - 100.0)


def test_a_server_that_is_full_for_no_time_at_all_is_not_asked_without_a_pause() -> None:
    full = ResourceExhausted("full", reason=Reason.OVERLOADED)
    full.retry_after_s = 0.0
    assert Patience(None, Clock()).while_full_s(full) >= 0.02
