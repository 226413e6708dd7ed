"""Candidates beside the depths: joined layers, the network's own answers, other poolings."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icecore.probes.files import from_bytes
from icecore.server.embedding.images import Pixels
from icecore.server.errors import ImagesNotKept, InvalidArgument, TapMismatch
from icecore.server.storage.opening import open_sqlite
from icecore.server.training import candidates
from icecore.server.training.candidates import candidates_of
from icecore.server.training.comparing import Comparer, Contender
from icecore.server.training.identities import identity, identity_of
from icecore.server.training.request import TrainRequest
from icecore.wire.codes import Codes
from icecore.wire.taps import PoolingKind
from toy_store import put_toy_backbone
from training_house import TENANT, House, housed, tiny


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = open_sqlite(tmp_path)
    put_toy_backbone(store)
    async for house in housed(store, "toy"):
        yield house


async def test_joined_layers_are_trained_and_predict(house: House) -> None:
    await house.fill(tiny(), keep_images=False)
    record, facts = await house.trained(TrainRequest("p", "insects", layers=("all",)))
    assert len(facts.taps) > 1
    assert facts.gain is not None
    assert facts.gain.low <= facts.gain.difference <= facts.gain.high
    assert facts.accuracy.estimate >= 0.9
    store = house.store.tenant(TENANT)
    probe = from_bytes(store.probe_file("p", record.version))
    assert probe.tap == identity_of(facts.taps)
    assert probe.d == sum(house.catalog.get("toy").layer_of(tap).dims for tap in facts.taps)
    unseen = tiny(seed=1)[:-1]
    found = await house.predictor.predict(store, "p", 0, [one.image for one in unseen])
    assert list(found.predictions.labels) == [one.label for one in unseen]
    assert found.taps == facts.taps


async def test_codes_of_one_tap_are_none_of_joined_ones(house: House) -> None:
    await house.fill(tiny())
    _, facts = await house.trained(TrainRequest("p", "insects", layers=("all",)))
    codes = Codes(np.zeros((1, 6), np.float32), facts.taps[0])
    with pytest.raises(TapMismatch, match="layers together: send images"):
        await house.predictor.predict(house.store.tenant(TENANT), "p", 0, codes)


async def test_a_joined_version_is_gone_on_from_and_compared(house: House) -> None:
    await house.fill(tiny(30))
    _, first = await house.trained(TrainRequest("p", "insects", layers=("all",)))
    store = house.store.tenant(TENANT)
    more = [replace(one, example_id="more-" + one.example_id) for one in tiny(12, seed=3)[:-1]]
    await house.ingest.add(store, "insects", more)
    record, second = await house.trained(TrainRequest("p", "insects", base_version=1))
    assert second.taps == first.taps
    assert (second.C, second.n_judged) == (first.C, 12)
    assert second.gain is None
    before, after = (
        Contender.stored(store, store.probe_version("p", version)) for version in (1, 2)
    )
    compared = await Comparer(house.catalog, house.codes).compare(
        store, "p", before, after, "insects"
    )
    assert compared.found.n_new_to_a == 12
    assert compared.found.accuracy_a.estimate > 0.9
    assert record.is_promoted


async def test_poolings_are_tried_at_the_chosen_layer(house: House) -> None:
    await house.fill(tiny())
    backbone = house.catalog.get("toy")
    collection = house.store.tenant(TENANT).collection("insects")
    request = TrainRequest("p", "insects", choose_pooling=True)
    found = candidates_of(backbone, collection, request)
    (first, *_) = found.layers
    assert [tap.pooling.kind for tap in found.others[first]] == [PoolingKind.MAX, PoolingKind.GEM]
    assert len({found.key(tap) for tap in found.taps}) == len(found.taps)
    _, facts = await house.trained(request)
    assert len(facts.trials) == 5
    assert facts.accuracy.estimate >= 0.9


async def test_pooling_that_wins_is_the_versions(house: House) -> None:
    """Of images that differ in one bright pixel the maximum tells, the mean hardly."""
    random = np.random.default_rng(0)
    examples = []
    for one in tiny(40)[:-1]:
        pixels = random.integers(90, 110, (8, 8, 3), dtype=np.uint8)
        if one.label == "ant":
            pixels[tuple(random.integers(0, 8, 2))] = 255
        examples.append(replace(one, image=Pixels(pixels)))
    await house.fill(examples)
    _, mean = await house.trained(TrainRequest("mean", "insects", layers=("1",)))
    _, chosen = await house.trained(
        TrainRequest("chosen", "insects", layers=("1",), choose_pooling=True)
    )
    assert chosen.taps[0].pooling.kind is PoolingKind.MAX
    assert chosen.accuracy.estimate > mean.accuracy.estimate


async def test_poolings_need_kept_images(house: House) -> None:
    await house.fill(tiny(), keep_images=False)
    with pytest.raises(ImagesNotKept):
        await house.trained(TrainRequest("p", "insects", choose_pooling=True))


def test_joined_layers_are_not_pooled_by_choice() -> None:
    with pytest.raises(InvalidArgument, match="joined as they are pooled"):
        TrainRequest("p", "insects", layers=("all",), choose_pooling=True)


def test_all_stands_alone() -> None:
    with pytest.raises(InvalidArgument, match="'all' chooses them itself"):
        TrainRequest("p", "insects", layers=("all", "3"))


async def test_of_joined_layers_half_as_many_fit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.fill(tiny())
    backbone = house.catalog.get("toy")
    collection = house.store.tenant(TENANT).collection("insects")
    n_bytes = 4 * 41 * sum(layer.dims for layer in (*backbone.ranked, backbone.layer("logits")))
    monkeypatch.setattr(candidates, "MAX_CODE_BYTES", n_bytes)
    assert len(candidates_of(backbone, collection, TrainRequest("p", "insects")).taps) == 4
    with pytest.raises(InvalidArgument, match=f"{2 * n_bytes:,} bytes"):
        candidates_of(backbone, collection, TrainRequest("p", "insects", layers=("all",)))


def test_one_tap_keeps_its_identity_and_several_have_another(house: House) -> None:
    first, second, *_ = house.catalog.get("toy").core
    assert identity_of([first]) == identity(first)
    texts = {identity_of(taps) for taps in ([first], [second], [first, second], [second, first])}
    assert len(texts) == 4
