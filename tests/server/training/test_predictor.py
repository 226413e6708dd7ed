"""Predictions: numpy on stored weights, scikit-learn's numbers, and never mixed taps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from icecore.probes.files import to_bytes
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Pixels
from icecore.server.errors import (
    CodesInvalid,
    ImagesEmpty,
    ProbeNotFound,
    ProbeNotPromoted,
    StorageCorrupt,
    TapMismatch,
    VersionNotFound,
    VersionNotReady,
)
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import VersionRecord
from icecore.server.training.facts import VersionFacts
from icecore.server.training.identities import identity
from icecore.server.training.predictor import Predictor
from icecore.server.training.trials import Accuracy
from icecore.wire.codes import Codes
from icecore.wire.taps import Pooling, PoolingKind, TapId
from toy_store import put_toy_backbone
from toys import toy_backbone

TENANT = "default"
CLASSES = ("ant", "bee", "cat")


@dataclass
class House:
    store: Store
    backbone: Backbone
    tap: TapId
    predictor: Predictor

    def ready(
        self,
        weights: npt.NDArray[Any],
        bias: npt.NDArray[Any],
        *,
        classes: tuple[str, ...] = CLASSES,
        kind: str = "svm",
        tap: TapId | None = None,
        tenant_id: str = TENANT,
        promote: bool = True,
    ) -> VersionRecord:
        """Store a version with these weights."""
        tap = tap or self.tap
        store = self.store.tenant(tenant_id)
        if "insects" not in [record.collection_id for record in store.collections()]:
            store.create_collection(
                "insects",
                backbone=self.backbone.name,
                digest=self.backbone.digest,
                keep_images=True,
            )
        begun = store.start_training(
            "ants-bees", kind=kind, collection_id="insects", request={}, mutation=None
        )
        facts = VersionFacts(
            (tap,), 1.0, classes, Accuracy(1, 1, 1), 1, (), 0, 0, 0, "0" * 64, len(classes)
        )
        probe = LinearProbe(
            ProbeKind(kind),
            classes,
            weights.astype(np.float32),
            bias.astype(np.float64),
            identity(tap),
        )
        return store.finish_training(
            "ants-bees",
            begun.version,
            create_time=begun.create_time,
            result=facts.to_json(),
            file=to_bytes(probe),
            seconds=0.0,
            promote=promote,
        )

    def codes(self, n: int, seed: int = 0) -> Codes:
        d = self.backbone.layer_of(self.tap).channels
        return Codes(np.random.default_rng(seed).random((n, d), dtype=np.float32), self.tap)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = open_sqlite(tmp_path)
    backbone = put_toy_backbone(store)
    catalog = Catalog(store, default=backbone.name)
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=1)
    yield House(
        store,
        backbone,
        backbone.tap(backbone.layer("-1")),
        Predictor(catalog, embedder, max_probes=2),
    )
    embedder.close()
    sessions.close()
    store.close()


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("model", [LinearSVC(random_state=0), LogisticRegression()])
async def test_scores_are_scikit_learns_decision_function(house: House, model: Any, k: int) -> None:
    random = np.random.default_rng(k)
    X = random.random((60, 6), dtype=np.float32)
    y = np.asarray(CLASSES[:k])[random.integers(0, k, 60)]
    model.fit(X.astype(np.float64), y)
    kind = "svm" if isinstance(model, LinearSVC) else "softmax"
    weights = model.coef_.astype(np.float32)
    house.ready(weights, model.intercept_, classes=tuple(model.classes_), kind=kind)
    found = await house.predictor.predict(
        house.store.tenant(TENANT), "ants-bees", 0, Codes(X, house.tap)
    )
    model.coef_ = weights.astype(np.float64)  # the file holds float32
    decision = model.decision_function(X.astype(np.float64))
    if k == 2:
        decision = np.stack([-decision, decision], axis=1) / (1 if kind == "svm" else 2)
    # Sums in another order: a few units in the last place of float64.
    np.testing.assert_allclose(found.predictions.scores, decision, rtol=1e-12, atol=1e-12)
    assert found.predictions.labels == tuple(model.predict(X.astype(np.float64)))
    if kind == "softmax":
        likely = model.predict_proba(X.astype(np.float64)).max(axis=1)
        assert found.predictions.probability is not None
        np.testing.assert_allclose(found.predictions.probability, likely, rtol=1e-9)
    else:
        assert found.predictions.probability is None


@pytest.mark.parametrize("pooling", [kind for kind in PoolingKind if kind is not PoolingKind.CLS])
async def test_images_give_what_their_codes_give(house: House, pooling: PoolingKind) -> None:
    """Also of whole maps, which a probe reads flattened."""
    random = np.random.default_rng(1)
    images = [Pixels(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in range(5)]
    gem_p = 3.0 if pooling is PoolingKind.GEM else 0.0
    tap = house.backbone.tap(house.backbone.layer("2"), pooling=Pooling(pooling, gem_p))
    embedder = house.predictor._embedder
    (values,) = (await embedder.embed(house.backbone, (tap,), images)).codes
    d = int(np.prod(values.shape[1:]))
    house.ready(random.random((3, d)), random.random(3), tap=tap)
    store = house.store.tenant(TENANT)
    by_codes = await house.predictor.predict(store, "ants-bees", 0, Codes(values, tap))
    by_images = await house.predictor.predict(store, "ants-bees", 0, images)
    np.testing.assert_array_equal(by_images.predictions.scores, by_codes.predictions.scores)
    assert by_images.predictions.labels == by_codes.predictions.labels
    assert by_images.timings.total_ms >= by_images.timings.compute_ms > 0


async def test_codes_of_another_tap_are_refused_and_both_named(house: House) -> None:
    house.ready(np.ones((3, 6)), np.zeros(3))
    other = house.backbone.tap(house.backbone.layer("2"))
    codes = Codes(np.ones((1, 6), np.float32), other)
    with pytest.raises(TapMismatch) as refused:
        await house.predictor.predict(house.store.tenant(TENANT), "ants-bees", 0, codes)
    assert str(other) in refused.value.message
    assert str(house.tap) in refused.value.message


async def test_a_renamed_backbone_keeps_its_probes(house: House) -> None:
    """Names are labels: only the digest, layer, activation and pooling count."""
    house.ready(np.ones((3, 6)), np.zeros(3))
    renamed = replace(house.tap, backbone="another", depth=99)
    codes = Codes(np.ones((1, 6), np.float32), renamed)
    await house.predictor.predict(house.store.tenant(TENANT), "ants-bees", 0, codes)


@pytest.mark.parametrize(
    ("shape", "words"), [((0, 6), "there are no codes"), ((2, 5), "5 values an image.*has 6")]
)
async def test_codes_that_do_not_fit_are_refused(
    house: House, shape: tuple[int, int], words: str
) -> None:
    house.ready(np.ones((3, 6)), np.zeros(3))
    codes = Codes(np.ones(shape, np.float32), house.tap)
    with pytest.raises(CodesInvalid, match=words):
        await house.predictor.predict(house.store.tenant(TENANT), "ants-bees", 0, codes)


async def test_no_images_are_refused(house: House) -> None:
    house.ready(np.ones((3, 6)), np.zeros(3))
    with pytest.raises(ImagesEmpty):
        await house.predictor.predict(house.store.tenant(TENANT), "ants-bees", 0, [])


async def test_what_is_not_there_cannot_predict(house: House) -> None:
    store = house.store.tenant(TENANT)
    house.store.create_tenant("other")
    with pytest.raises(ProbeNotFound):
        await house.predictor.predict(store, "ants-bees", 0, house.codes(1))
    house.ready(np.ones((3, 6)), np.zeros(3), promote=False)
    with pytest.raises(ProbeNotPromoted):
        await house.predictor.predict(store, "ants-bees", 0, house.codes(1))
    with pytest.raises(VersionNotFound):
        await house.predictor.predict(store, "ants-bees", 9, house.codes(1))
    store.start_training("ants-bees", kind="svm", collection_id="insects", request={})
    with pytest.raises(VersionNotReady, match="'training', not 'ready'"):
        await house.predictor.predict(store, "ants-bees", 2, house.codes(1))
    assert (await house.predictor.predict(store, "ants-bees", 1, house.codes(1))).version == 1
    other = house.store.tenant("other")
    with pytest.raises(ProbeNotFound):
        await house.predictor.predict(other, "ants-bees", 1, house.codes(1))


async def test_tenants_probes_of_one_name_are_kept_apart(house: House) -> None:
    house.store.create_tenant("other")
    for tenant_id, label in ((TENANT, 0), ("other", 1)):
        bias = np.zeros(3)
        bias[label] = 1
        house.ready(np.zeros((3, 6)), bias, tenant_id=tenant_id)
    for _ in range(2):
        for tenant_id, expected in ((TENANT, "ant"), ("other", "bee")):
            found = await house.predictor.predict(
                house.store.tenant(tenant_id), "ants-bees", 0, house.codes(1)
            )
            assert found.predictions.labels == (expected,)


async def test_nothing_kept_is_shared_between_tenants(house: House) -> None:
    """Else the time of an answer would tell that another has the very same file."""
    house.store.create_tenant("other")
    for tenant_id in (TENANT, "other"):
        house.ready(np.ones((3, 6)), np.zeros(3), tenant_id=tenant_id)
        store = house.store.tenant(tenant_id)
        await house.predictor.predict(store, "ants-bees", 0, house.codes(1))
    tenants, _, _, digests = zip(*house.predictor._probes, strict=True)
    assert set(tenants) == {TENANT, "other"}
    assert len(set(digests)) == 1, "the files were to be the same"


async def test_a_probe_made_again_answers_with_its_own_weights(house: House) -> None:
    store = house.store.tenant(TENANT)
    for label in range(3):
        bias = np.zeros(3)
        bias[label] = 1
        house.ready(np.zeros((3, 6)), bias)
        found = await house.predictor.predict(store, "ants-bees", 0, house.codes(1))
        assert (found.version, found.predictions.labels) == (1, (CLASSES[label],))
        store.delete_probe("ants-bees")


async def test_only_the_probes_used_last_are_kept(house: House) -> None:
    store = house.store.tenant(TENANT)
    for _ in range(4):
        house.ready(np.ones((3, 6)), np.zeros(3))
    for version in (1, 2, 1, 3, 4, 1):
        await house.predictor.predict(store, "ants-bees", version, house.codes(1))
    assert [key[2] for key in house.predictor._probes] == [4, 1]
    house.predictor.forget(TENANT, "another")
    assert house.predictor._probes
    house.predictor.forget(TENANT)
    assert not house.predictor._probes


async def test_weights_read_while_their_probe_is_deleted_are_not_kept(house: House) -> None:
    house.ready(np.ones((3, 6)), np.zeros(3))
    store = house.store.tenant(TENANT)

    class Overtaken:
        """A tenant's store whose probe is deleted just after its file was read."""

        tenant_id = TENANT

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def probe_file(self, probe_id: str, version: int) -> bytes:
            file = store.probe_file(probe_id, version)
            store.delete_probe(probe_id)
            house.predictor.forget(TENANT, probe_id)
            return file

    overtaken = cast(TenantStore, Overtaken())
    found = await house.predictor.predict(overtaken, "ants-bees", 0, house.codes(1))
    assert found.version == 1, "who asked before it was deleted is answered"
    assert not house.predictor._probes


async def test_a_version_whose_file_is_of_another_tap_is_corrupt(house: House) -> None:
    other = toy_backbone(1)
    record = house.ready(
        np.ones((3, 6)), np.zeros(3), tap=other.tap(other.layer("-1")), promote=False
    )
    facts = VersionFacts.of(record)
    assert facts is not None
    store = house.store.tenant(TENANT)
    begun = store.start_training("ants-bees", kind="svm", collection_id="insects", request={})
    store.finish_training(
        "ants-bees",
        begun.version,
        create_time=begun.create_time,
        result=replace(facts, taps=(house.tap,)).to_json(),
        file=store.probe_file("ants-bees", record.version),
        seconds=0,
        promote=True,
    )
    with pytest.raises(StorageCorrupt, match="different taps"):
        await house.predictor.predict(store, "ants-bees", 0, house.codes(1))
