"""Quantising in a process of its own: the report, refusals, and no process left behind."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.facts import Fidelity
from icecore.server.backbones.quantising.quantise import quantise
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.preparing import to_floats
from icecore.server.errors import (
    BackboneNotFloat,
    CalibrationInvalid,
    ClassesTooFew,
    ClassTooSmall,
    ImageInvalid,
    ImagesTooMany,
    Internal,
    InvalidArgument,
)
from icecore.server.training import quantising
from icecore.server.training.fidelity import cosine
from icecore.server.training.fidelity_probes import compare_probes
from icecore.server.training.quantising import EvaluationSet, quantise_backbone
from toys import toy_backbone

SEED = 20240805


def pixels(n: int, *, seed: int = SEED, bright: int = 0) -> list[ImageInput]:
    random = np.random.default_rng(seed)
    made = random.integers(0, 160, (n, 8, 8, 3)) + bright
    return [Pixels(one.astype(np.uint8)) for one in made]


def labelled(n: int, name: str = "set") -> EvaluationSet:
    images = pixels(n, seed=1) + pixels(n, seed=2, bright=70)
    return EvaluationSet(name, images, ["dark"] * n + ["bright"] * n)


def nothing(stage: str, progress: float) -> None: ...


async def quantised(
    calibration: Sequence[ImageInput],
    evaluation: Sequence[EvaluationSet] = (),
    backbone: Backbone | None = None,
    command: Sequence[str] = quantising.COMMAND,
) -> quantising.Quantised:
    return await quantise_backbone(
        backbone or toy_backbone(),
        calibration,
        evaluation,
        on_progress=nothing,
        command=command,
    )


def script(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_backbone_is_quantised_with_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    backbone = toy_backbone()
    mixed = pixels(6) + [
        Prepared(to_floats(one, backbone.recipe, what="it")) for one in pixels(6, seed=3)
    ]
    told: list[tuple[str, float]] = []
    found = await quantise_backbone(
        backbone,
        mixed,
        [labelled(12, "first"), labelled(10, "second")],
        on_progress=lambda *now: told.append(now),
    )
    inputs = np.stack([to_floats(one, backbone.recipe, what="it") for one in mixed])
    assert found.graph == quantise(backbone.graph, [inputs]), "not what is made in one process"

    report = found.fidelity
    assert report.n_calibration_images == 12
    assert [(one.name, one.depth) for one in report.layers] == [
        ("one", 1),
        ("two", 2),
        ("three", 3),
    ]
    assert all(0.98 < one.cosine <= 1.0 for one in report.layers)
    assert report.throughput_ratio > 0.0
    assert Fidelity.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert [(one.set, one.layer, one.n_images) for one in report.probes] == [
        (name, layer, n)
        for name, n in (("first", 24), ("second", 20))
        for layer in ("one", "two", "three")
    ]
    for one in report.probes:
        assert one.float32_accuracy > 0.9, "dark and bright are told apart"
        assert one.low <= one.int8_accuracy - one.float32_accuracy <= one.high

    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["calibrating", "comparing", "timing", "probes"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert min(shares) >= 0.0
    assert max(shares) <= 1.0
    assert not left_in(tmp_path)


async def test_images_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(CalibrationInvalid, match="all the same"):
        await quantised(pixels(1) * 9)


async def test_a_bad_image_is_named() -> None:
    with pytest.raises(ImageInvalid, match="calibration image 8"):
        await quantised([*pixels(8), Encoded(b"no image")])


NEVER_STARTED = ("/nonexistent/worker",)


async def test_what_cannot_succeed_is_refused_before_a_process_starts() -> None:
    images = pixels(8)
    with pytest.raises(CalibrationInvalid, match="there are 7"):
        await quantised(images[:7], command=NEVER_STARTED)
    one_class = EvaluationSet("flowers", images, ["rose"] * 8)
    with pytest.raises(ClassesTooFew, match="'flowers'"):
        await quantised(images, [one_class], command=NEVER_STARTED)
    one_image = EvaluationSet("flowers", images, ["rose"] * 7 + ["iris"])
    with pytest.raises(ClassTooSmall, match="'iris'"):
        await quantised(images, [one_image], command=NEVER_STARTED)
    with pytest.raises(ClassesTooFew):
        await quantised(images, [EvaluationSet("flowers", [], [])], command=NEVER_STARTED)
    with pytest.raises(InvalidArgument, match="3 labels for 8 images"):
        await quantised(
            images, [EvaluationSet("flowers", images, ["rose"] * 3)], command=NEVER_STARTED
        )
    inputs = np.stack([to_floats(one, toy_backbone().recipe, what="it") for one in images])
    toy = toy_backbone()
    int8 = Backbone.read("toy-int8", quantise(toy.graph, [inputs]), toy.recipe)
    with pytest.raises(BackboneNotFloat, match="'toy-int8' is int8 already"):
        await quantised(images, backbone=int8, command=NEVER_STARTED)


async def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantising, "MAX_BYTES", 8 * 8 * 3 * 8 + 1)
    with pytest.raises(ImagesTooMany):
        await quantised(pixels(9), command=NEVER_STARTED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os, sys; sys.stdin.buffer.read(99); os.kill(os.getpid(), 9)", "by signal 9"),
        ("import sys; sys.exit(3)", "with status 3"),
    ],
)
async def test_a_process_that_ends_early_is_an_error_of_ours(text: str, words: str) -> None:
    with pytest.raises(Internal, match=words):
        await quantised(pixels(8), command=script(text))


async def test_a_process_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    os.mkfifo(mark)
    command = script(
        f"import os; open({str(mark)!r}, 'w').write(str(os.getpid())); os.read(0, 0)\n"
        "import signal\nwhile True: signal.pause()"
    )
    task = asyncio.create_task(quantised(pixels(8), command=command))
    pid = int(await asyncio.to_thread(mark.read_text))
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    assert task.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_equal_codes_have_equal_probes() -> None:
    random = np.random.default_rng(SEED)
    codes = random.normal(size=(60, 5)).astype(np.float32)
    labels = ["a" if value > 0 else "b" for value in codes[:, 0] + random.normal(size=60)]
    found = compare_probes({"x": (codes, codes)}, labels)["x"]
    assert found.plain == found.int8
    assert found.low < 0.0 < found.high
    assert -found.low == pytest.approx(found.high)


def test_ruined_codes_are_seen_by_the_interval() -> None:
    random = np.random.default_rng(SEED)
    codes = random.normal(size=(80, 5)).astype(np.float32)
    labels = ["a" if value > 0 else "b" for value in codes[:, 0]]
    noise = random.normal(size=codes.shape).astype(np.float32)
    found = compare_probes({"x": (codes, noise)}, labels)["x"]
    assert found.plain > 0.9
    assert found.high < 0.0


def test_a_cosine_counts_zero_codes_as_alike() -> None:
    one = np.array([[1, 0], [0, 0], [0, 0], [1, 1]], np.float32)
    other = np.array([[0, 1], [0, 0], [1, 0], [2, 2]], np.float32)
    np.testing.assert_allclose(cosine(one, other), [0, 1, 0, 1], atol=1e-12)
