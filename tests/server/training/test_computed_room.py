"""How many layers "auto" and "all" take where codes are not stored, but computed from images."""

from datetime import UTC, datetime
from typing import Any

import pytest

from icecore.server.storage.records import CollectionRecord
from icecore.server.training import candidates
from icecore.server.training.candidates import candidates_of
from icecore.server.training.request import TrainRequest
from icecore.wire.taps import Pooling, PoolingKind
from toys import toy_backbone

BACKBONE = toy_backbone()
N = 100
COLLECTION = CollectionRecord(
    1, "insects", "toy", BACKBONE.digest, True, datetime(2026, 1, 1, tzinfo=UTC), 1, N, {"": N}
)
ALL_BYTES = 4 * N * sum(layer.dims for layer in BACKBONE.ranked)
MAXIMA: dict[str, Any] = {"pooling": Pooling(PoolingKind.MAX)}


def layers(**asked: Any) -> list[str]:
    request = TrainRequest("p", "insects", **asked)
    return [tap.layer for tap in candidates_of(BACKBONE, COLLECTION, request).layers]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(candidates, "FEWEST_DEPTHS", 1)
    return monkeypatch


def test_of_codes_that_must_be_computed_as_many_layers_are_read_as_have_room(
    few: pytest.MonkeyPatch,
) -> None:
    everything = [layer.name for layer in BACKBONE.ranked]
    few.setattr(candidates, "MAX_COMPUTED_BYTES", ALL_BYTES)
    assert layers(**MAXIMA) == everything
    few.setattr(candidates, "MAX_COMPUTED_BYTES", ALL_BYTES - 1)
    assert layers(**MAXIMA) == everything[-1:]
    assert layers() == everything, "what is stored is not computed"


def test_poolings_that_are_tried_are_computed_too(few: pytest.MonkeyPatch) -> None:
    """Each layer of a map is read in three ways: its mean, its maximum, the generalised mean."""
    few.setattr(candidates, "MAX_COMPUTED_BYTES", 3 * ALL_BYTES)
    assert len(layers(choose_pooling=True)) == 3
    few.setattr(candidates, "MAX_COMPUTED_BYTES", 3 * ALL_BYTES - 1)
    assert len(layers(choose_pooling=True)) == 1


def test_the_fewest_depths_are_read_however_little_room_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "MAX_COMPUTED_BYTES", 1)
    assert len(layers(**MAXIMA)) == 3
