"""Sessions of one backbone hold its weights once; backbones that go leave nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import come_and_gone
from come_and_gone import CYCLES, PERIOD, backbone, images
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.sessions import Sessions
from icecore.wire.taps import Pooling, PoolingKind


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    """What a fresh process saw of its own memory."""
    answer = subprocess.run(
        [sys.executable, str(Path(come_and_gone.__file__))],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def test_a_hundred_backbones_later_memory_is_within_5_percent(seen: dict[str, list[int]]) -> None:
    """Of what it was after twenty; a round of all sizes each, as they leave unlike holes."""
    resident = seen["resident"]
    assert len(resident) == CYCLES
    after_20, after_100 = (sum(resident[n - PERIOD : n]) / PERIOD for n in (20, 100))
    assert after_100 <= 1.05 * after_20


def test_ten_sessions_take_the_room_of_one_copy_of_the_weights(seen: dict[str, int]) -> None:
    """Each with weights of its own would take 5.5 copies."""
    assert seen["grown"] <= 1.5 * seen["one"]


def test_what_sessions_say_they_hold_is_what_memory_grew_by(seen: dict[str, int]) -> None:
    """To a fifth: some is left of what making them took."""
    assert abs(seen["told"] - seen["grown"]) <= 0.2 * seen["grown"]


def test_weights_are_counted_once_and_go_with_the_last_session() -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    one, other = backbone(1, 24, 64, 6), backbone(2, 24, 64, 6)
    sessions.run(one, one.core[-1:], images(24))
    alone = sessions.held_bytes
    for tap in one.core:
        sessions.run(one, [tap], images(24))
    assert one.graph_bytes < alone < sessions.held_bytes < 2 * alone
    sessions.run(other, other.core[-1:], images(24))
    sessions.forget(one.digest)
    assert sessions.held_bytes == pytest.approx(alone, rel=0.01), "the other is kept"
    sessions.forget(other.digest)
    assert sessions.held_bytes == sessions.weight_bytes == 0


def test_the_same_weights_under_another_digest_are_shared_too() -> None:
    """As after a new recipe for the same network."""
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    one = backbone(1, 24, 64, 6)
    again = Backbone.read("again", one.graph, Recipe(height=24, width=24, resize=32))
    sessions.run(one, one.core, images(24))
    before = sessions.weight_bytes
    codes = sessions.run(again, again.core, images(24))
    assert sessions.weight_bytes == before
    sessions.forget(one.digest)
    assert sessions.weight_bytes == before
    assert all(
        np.array_equal(a, b)
        for a, b in zip(codes, sessions.run(again, again.core, images(24)), strict=True)
    )


def test_what_is_forgotten_is_made_anew_when_asked_for() -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    one = backbone(3, 24, 16, 3)
    before = sessions.run(one, one.core, images(24))
    sessions.forget(one.digest)
    sessions.forget(one.digest)
    after = sessions.run(one, one.core, images(24))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_weights_that_each_session_packs_are_not_shared_but_counted() -> None:
    """Matrix products keep a packed copy each; the weight as read would lie there for nothing."""
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    one = backbone(4, 24, 256, 1)
    product = 4 * 256 * 256
    logits = one.layer("logits")
    sessions.run(one, [one.tap(logits)], images(24))
    assert sessions.weight_bytes < product < sessions.held_bytes
    alone = sessions.held_bytes
    sessions.run(one, [one.tap(logits, pooling=Pooling(PoolingKind.MAX))], images(24))
    assert sessions.held_bytes - alone > product
