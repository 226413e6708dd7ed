"""Probes trained and asked, on the toy backbone, over a real socket."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from callers import Caller, calling, refusal
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from servers import Server, serving
from toy_calls import N, collect, filled, predict, toy_image, train


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with filled(tmp_path_factory.mktemp("calls") / "data") as caller:
        yield caller


def test_images_and_their_codes_are_predicted_alike(caller: Caller) -> None:
    by_image = predict(caller)
    (codes,) = caller.codes.Embed(
        epb.EmbedRequest(images=[toy_image(number) for number in range(4)])
    ).codes
    by_codes = predict(caller, codes=codes, images=None)
    assert list(by_image.classes) == ["a", "b"]
    assert [one.label for one in by_image.predictions] == ["a", "b", "a", "b"]
    assert by_image.tap == codes.tap
    assert (by_image.probe_id, by_image.version) == ("p", 1)
    for one, other in zip(by_image.predictions, by_codes.predictions, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
        low, high = one.scores
        assert low == -high, "binary logits are -s/2 and s/2"
        chance = 1 / (1 + np.exp(-abs(high - low)))
        assert one.probability == pytest.approx(chance)


def test_an_svm_has_no_probability(caller: Caller) -> None:
    version = train(caller, "svm", kind=ppb.PROBE_KIND_SVM)
    assert version.kind == ppb.PROBE_KIND_SVM
    answer = predict(caller, "svm")
    assert not any(one.HasField("probability") for one in answer.predictions)
    assert [one.label for one in answer.predictions] == ["a", "b", "a", "b"]


def test_a_stream_of_predictions_keeps_its_order(caller: Caller) -> None:
    requests = [
        ppb.PredictRequest(
            probe_id="p", images=ppb.PredictRequest.Images(images=[toy_image(number)])
        )
        for number in range(6)
    ]
    answers = list(caller.probes.PredictStream(iter(requests)))
    assert [answer.predictions[0].label for answer in answers] == list("ababab")


def test_a_version_tells_what_it_is(caller: Caller) -> None:
    answer = caller.probes.GetProbe(ppb.GetProbeRequest(probe_id="p"))
    (version,) = answer.probe.versions
    assert answer.probe.promoted_version == version.version == 1
    assert version.version_name == "tenants/default/probes/p/versions/1"
    assert version.state == ppb.VERSION_STATE_READY
    assert version.is_promoted
    assert (version.n_images, list(version.classes)) == (N, ["a", "b"])
    assert version.tap.layer == "three"
    assert 0 <= version.accuracy.low <= version.accuracy.estimate <= version.accuracy.high <= 1
    assert version.c > 0
    assert 0 <= version.gap < 1e-3
    assert len(version.data_digest) == len(version.file_digest) == 64
    assert [trial.layer for trial in version.trials if trial.is_chosen] == ["three"]
    listed = caller.probes.ListProbes(ppb.ListProbesRequest()).probes
    assert answer.probe in listed


def test_a_probe_that_is_not_promoted_predicts_by_version_only(caller: Caller) -> None:
    train(caller, "unpromoted", leave_unpromoted=True)
    said = refusal(lambda: predict(caller, "unpromoted"))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "PROBE_NOT_PROMOTED")
    assert predict(caller, "unpromoted", version=1).version == 1


def test_a_cancelled_training_ends_for_those_who_watch(caller: Caller) -> None:
    p = caller.probes
    version = p.TrainProbe(
        ppb.TrainProbeRequest(probe_id="cancelled", collection_id="c")
    ).version.version
    watch = p.WatchProbe(ppb.WatchProbeRequest(probe_id="cancelled"))
    next(watch)
    request = ppb.CancelTrainingRequest(probe_id="cancelled", version=version)
    state = p.CancelTraining(request).version.state
    assert state == ppb.VERSION_STATE_CANCELLED
    *_, last = watch
    assert last.version.state == ppb.VERSION_STATE_CANCELLED
    said = refusal(lambda: predict(caller, "cancelled", version=1))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_NOT_READY")


def test_a_probe_deleted_in_training_ends_its_watches(caller: Caller) -> None:
    p = caller.probes
    p.TrainProbe(ppb.TrainProbeRequest(probe_id="deleted", collection_id="c"))
    watch = p.WatchProbe(ppb.WatchProbeRequest(probe_id="deleted"))
    next(watch)
    p.DeleteProbe(ppb.DeleteProbeRequest(probe_id="deleted"))
    said = refusal(lambda: watch)
    assert said.reason in ("PROBE_NOT_FOUND", "VERSION_NOT_FOUND")


@pytest.fixture
def another_server(tmp_path: Path) -> Iterator[Server]:
    """For tests that make keys, after which nobody calls without one."""
    with serving(tmp_path / "data", training_workers=2) as server:
        yield server


def test_many_tenants_train_at_once_over_the_same_backbone(another_server: Server) -> None:
    server = another_server
    with calling(server.address, server.admin_key) as admin:
        keys = {}
        for number in range(4):
            tenant_id = f"many-{number}"
            admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
            keys[number] = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id)).secret

    def work(number: int) -> list[str]:
        with calling(server.address, keys[number]) as caller:
            collect(caller, "c", *range(number, number + 8))
            version = train(caller, "p")
            return [version.version_name, *version.classes]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, keys))
    assert done == [[f"tenants/many-{n}/probes/p/versions/1", "a", "b"] for n in range(4)]
