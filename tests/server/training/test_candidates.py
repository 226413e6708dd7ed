"""Candidates beside the depths: joined layers, the network's own answers, other poolings."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icecore.probes.files import from_bytes
from icecore.server.errors import ImagesNotKept, InvalidArgument, TapMismatch
from icecore.server.storage.opening import open_sqlite
from icecore.server.training import candidates
from icecore.server.training.candidates import Candidates, candidates_of
from icecore.server.training.comparing import Comparer
from icecore.server.training.contender import Contender
from icecore.server.training.findings import facts_of
from icecore.server.training.identities import identity, identity_of
from icecore.server.training.request import TrainRequest
from icecore.wire.codes import Codes
from icecore.wire.taps import Pooling, PoolingKind
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
    assert facts.n_layers == 4, "three depths and the answers, whose softmax is no layer"
    tried = [str(trial.pooling) for trial in facts.pooling_trials]
    assert tried == ["avg", "max", "gem3"], "what is chosen from is kept, the first one first"
    (chosen,) = [trial for trial in facts.pooling_trials if trial.is_chosen]
    (tap,) = facts.taps
    assert (chosen.pooling, chosen.C, chosen.preprocessing) == (
        tap.pooling,
        facts.C,
        facts.preprocessing,
    )
    assert facts.accuracy.estimate >= 0.9


async def test_the_pooling_that_a_worker_chose_is_the_versions(house: House) -> None:
    await house.fill(tiny(4))
    backbone = house.catalog.get("toy")
    collection = house.store.tenant(TENANT).collection("insects")
    found = candidates_of(
        backbone, collection, TrainRequest("p", "insects", layers=("1",), choose_pooling=True)
    )
    share = {"estimate": 1.0, "low": 0.5, "high": 1.0}
    for tap in found.taps:
        said = {
            "keys": [found.key(tap)],
            "C": 1.0,
            "classes": ["ant", "bee"],
            "gain": None,
            "accuracy": share,
            "naive": 1.0,
            "trials": [],
            "n_layers": 1,
            "alternatives": [],
            "objective": 1.0,
            "gap": 0.0,
            "preprocessing": "none",
            "n_judged": 4,
        }
        facts = facts_of(said, found, seed=0, data_digest="0" * 64, n_images=4)
        assert facts.taps == (tap,)


def test_no_two_candidates_are_called_alike(house: House) -> None:
    """Names in ONNX files may hold slashes."""
    backbone = house.catalog.get("toy")
    first, second, *_ = backbone.core
    pooled = replace(first, pooling=Pooling(PoolingKind.MAX))
    found = Candidates((first, replace(second, layer=f"{first.layer}/max")), {first: (pooled,)})
    assert len({found.key(tap) for tap in found.taps}) == 3


async def test_one_layer_alone_is_not_joined(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.fill(tiny(4))
    backbone = house.catalog.get("toy")
    collection = house.store.tenant(TENANT).collection("insects")
    one = replace(backbone, layers=backbone.ranked[:1])
    with pytest.raises(InvalidArgument, match="has one layer to read, 'one', and nothing to join"):
        candidates_of(one, collection, TrainRequest("p", "insects", layers=("all",)))


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


async def test_of_joined_layers_a_quarter_as_many_fit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.fill(tiny())
    backbone = house.catalog.get("toy")
    collection = house.store.tenant(TENANT).collection("insects")
    n_bytes = 4 * 41 * sum(layer.dims for layer in (*backbone.ranked, backbone.layer("logits")))
    monkeypatch.setattr(candidates, "MAX_CODE_BYTES", n_bytes)
    assert len(candidates_of(backbone, collection, TrainRequest("p", "insects")).taps) == 4
    with pytest.raises(InvalidArgument, match=f"{4 * n_bytes:,} bytes"):
        candidates_of(backbone, collection, TrainRequest("p", "insects", layers=("all",)))


def test_one_tap_keeps_its_identity_and_several_have_another(house: House) -> None:
    first, second, *_ = house.catalog.get("toy").core
    assert identity_of([first]) == identity(first)
    texts = {identity_of(taps) for taps in ([first], [second], [first, second], [second, first])}
    assert len(texts) == 4
