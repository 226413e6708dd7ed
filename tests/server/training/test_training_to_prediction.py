"""From images to a probe that predicts, with the real worker and no door."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from icecore.server.embedding.images import Encoded, Pixels
from icecore.server.embedding.ingest import ExampleInput
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import VersionState
from icecore.server.training.trainer import TrainRequest
from icecore.server.training.workers import COMMAND
from icecore.wire.codes import Codes
from icecore.wire.taps import Activation, Pooling, PoolingKind
from toy_store import put_toy_backbone
from training_house import TENANT, House, housed, tiny


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = open_sqlite(tmp_path)
    put_toy_backbone(store)
    async for house in housed(store, "toy"):
        yield house


@pytest.mark.parametrize("kind", ["svm", "softmax"])
async def test_a_probe_is_chosen_trained_and_predicts(house: House, kind: str) -> None:
    await house.fill(tiny())
    record, facts = await house.trained(TrainRequest("ants-bees", "insects", kind))
    assert record.is_promoted
    assert record.seconds > 0
    assert facts.classes == ("ant", "bee")
    assert facts.n_images == 40, "the example without a label was trained on"
    assert facts.accuracy.estimate >= 0.9
    assert 0.5 < facts.accuracy.low <= facts.accuracy.estimate <= facts.accuracy.high <= 1
    assert [trial.depth for trial in facts.trials] == [1, 2, 3, 0, 0], "layers, then answers"
    assert [trial.preprocessing for trial in facts.trials[3:]] == ["none", "softmax"]
    (chosen,) = [trial for trial in facts.trials if trial.is_chosen]
    assert (chosen.layer, chosen.depth) == (facts.taps[0].layer, facts.taps[0].depth)
    assert 0 <= facts.gap < 1e-3
    assert facts.objective > 0
    store = house.store.tenant(TENANT)
    unseen = tiny(seed=1)[:-1]
    found = await house.predictor.predict(store, "ants-bees", 0, [one.image for one in unseen])
    assert list(found.predictions.labels) == [one.label for one in unseen]
    assert found.taps == facts.taps


async def test_the_same_data_and_seed_give_the_same_probe_and_digest(house: House) -> None:
    await house.fill(tiny())
    first, first_facts = await house.trained(TrainRequest("p", "insects"))
    second, second_facts = await house.trained(TrainRequest("p", "insects"))
    assert (first.version, second.version) == (1, 2)
    assert first.file_digest == second.file_digest
    assert first_facts == second_facts
    store = house.store.tenant(TENANT)
    store.delete_examples("insects", ["000.png"])
    _, third = await house.trained(TrainRequest("p", "insects"))
    assert third.data_digest != first_facts.data_digest
    assert third.n_images == 39


async def test_the_order_in_which_examples_came_does_not_matter(house: House) -> None:
    """Rows are in order of id, and folds are dealt by it: the same weights to the bit."""
    await house.fill(tiny())
    _, first = await house.trained(TrainRequest("p", "insects"))
    store = house.store.tenant(TENANT)
    store.delete_examples("insects", [example.example_id for example in tiny()])
    backwards = tiny()[::-1]
    for start in range(0, len(backwards), 9):
        await house.ingest.add(store, "insects", backwards[start : start + 9])
    _, second = await house.trained(TrainRequest("p", "insects"))
    assert first == second
    digests = [version.file_digest for version in store.probe("p").versions]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("activation", "pooling"),
    [
        (Activation.AS_TRAINED, Pooling(PoolingKind.NONE)),
        (Activation.NONE, Pooling(PoolingKind.MAX)),
        (Activation.RELU, Pooling(PoolingKind.GEM, 3.0)),
    ],
)
async def test_taps_that_are_not_stored_are_trained_from_the_images(
    house: House, activation: Activation, pooling: Pooling
) -> None:
    await house.fill(tiny())
    request = TrainRequest(
        "p", "insects", layers=("-1", "3", "1"), activation=activation, pooling=pooling
    )
    _, facts = await house.trained(request)
    assert (facts.taps[0].activation, facts.taps[0].pooling) == (activation, pooling)
    assert [trial.layer for trial in facts.trials] == ["one", "three"], "a layer came twice"
    assert facts.accuracy.estimate >= 0.9


async def test_prediction_from_stored_codes_is_that_from_images(house: House) -> None:
    """Stored codes are float16: labels agree, scores to that precision."""
    examples = tiny()[:-1]
    await house.fill(examples)
    _, facts = await house.trained(TrainRequest("p", "insects", "svm"))
    store = house.store.tenant(TENANT)
    snapshot = await house.codes.read(store, "insects", [facts.taps[0]])
    rows = [row for row, one in enumerate(snapshot.examples) if one.label]
    stored = Codes(
        np.take(snapshot.codes[facts.taps[0]], rows, axis=0).astype(np.float16), facts.taps[0]
    )
    by_codes = await house.predictor.predict(store, "p", 0, stored)
    by_images = await house.predictor.predict(store, "p", 0, [one.image for one in examples])
    assert by_codes.predictions.labels == by_images.predictions.labels
    scale = np.abs(by_images.predictions.scores).max()
    # float16 has 11 bits: each value is off by up to 2**-12 of itself, sums by less.
    assert np.abs(by_codes.predictions.scores - by_images.predictions.scores).max() < 0.01 * scale


async def test_copies_of_one_image_only_are_refused_by_the_solver(house: House) -> None:
    """Two files, one picture: nothing can be held out. Only their bytes tell."""
    twin = Pixels(np.full((8, 8, 3), 7, np.uint8))
    examples = [one for one in tiny() if one.label == "ant"]
    examples += [ExampleInput(f"twin-{n}", "bee", {}, twin) for n in range(2)]
    await house.fill(examples)
    begun = await house.trainer.train(TENANT, TrainRequest("p", "insects"))
    states = [state async for state in house.trainer.watch(TENANT, "p", begun.version)]
    end = states[-1].version
    assert end.state is VersionState.FAILED
    assert end.failure_reason == "CLASS_TOO_SMALL"
    assert "bee" in end.failure_message


BUSY = """
import asyncio, sys
import numpy as np
from icecore.server.training.candidates import Candidates
from icecore.server.training.training_set import TrainingSet
from icecore.server.training.workers import Worker
from icecore.wire.taps import TapId

async def main():
    random = np.random.default_rng(0)
    n = 4000
    tap = TapId("0" * 64, "three", depth=1)
    codes = {tap: random.random((n, 1280), dtype=np.float32)}
    labels = [str(label) for label in random.integers(0, 20, n)]
    many = TrainingSet([str(i) for i in range(n)], labels, [str(i) for i in range(n)], codes)
    worker = await Worker.start()
    await worker.train(
        many,
        Candidates((tap,)),
        kind="softmax",
        seed=0,
        on_progress=lambda *_: print(worker.pid, flush=True),
    )

asyncio.run(main())
"""


def test_a_computing_worker_ends_when_its_server_is_killed() -> None:
    """At once: a fold of this set takes longer, and a broken pipe is met only after it."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        watched = os.pidfd_open(int(server.stdout.readline()))
        server.send_signal(signal.SIGKILL)
    try:
        ended, _, _ = select.select([watched], [], [], 2)
    finally:
        os.close(watched)
    assert ended, "the worker outlives its server"


def test_a_worker_imports_nothing_it_does_not_need() -> None:
    """It is started for each job, so its imports are waited for."""
    heavy = ("sqlalchemy", "onnxruntime", "onnx", "faiss", "PIL", "grpc", "sklearn")
    script = (
        "import json, sys, icecore.server.training.worker\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    ran = subprocess.run([COMMAND[0], "-c", script], capture_output=True, check=True)
    assert json.loads(ran.stdout) == []


async def test_ants_and_bees_at_the_last_layer(shared: Path, tmp_path: Path) -> None:
    """The real network on real photographs: the estimate is .95 or more (.970 in design.md)."""
    files = sorted((shared / "datasets/hymenoptera").glob("*/*.jpg"))
    assert len(files) == 200
    examples = [
        ExampleInput(
            f"{file.parent.name}/{file.name}", file.parent.name, {}, Encoded(file.read_bytes())
        )
        for file in files
    ]
    async for house in housed(open_sqlite(tmp_path), "efficientnet-lite0"):
        await house.fill(examples, keep_images=False)
        _, facts = await house.trained(TrainRequest("ants-bees", "insects", layers=("-1",)))
        assert facts.taps[0].depth == 33
        assert facts.accuracy.estimate >= 0.95, facts.accuracy
        assert facts.accuracy.low >= 0.85, facts.accuracy
        store = house.store.tenant(TENANT)
        found = await house.predictor.predict(
            store, "ants-bees", 0, [one.image for one in examples[::20]]
        )
        right = [
            one.label == label
            for one, label in zip(examples[::20], found.predictions.labels, strict=True)
        ]
        assert sum(right) >= 9, "its own training photographs are not recognised"
