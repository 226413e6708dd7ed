"""Quantising a backbone, seen from the server: one process, from images to the report.

The process is started by exec and ended when nobody waits for it any more; images go in
and the graph comes out over pipes.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from icecore.probes.errors import ProbesError
from icecore.probes.training_data import TrainingData
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.facts import Fidelity
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.quantising.calibrating import MIN_IMAGES
from icecore.server.backbones.quantising.quantise import PERCENTILE, is_quantised
from icecore.server.embedding.images import ImageInput
from icecore.server.errors import (
    BackboneNotFloat,
    CalibrationInvalid,
    IcecoreError,
    ImagesTooMany,
    Internal,
    InvalidArgument,
)
from icecore.server.giving_way import give_way
from icecore.server.training.fidelity import EvaluationSet
from icecore.server.training.frames import (
    receive_frame,
    receive_message,
    send_frame,
    send_message,
)
from icecore.server.training.image_frames import content, described
from icecore.server.training.workers import ONE_THREAD

__all__ = ["EvaluationSet", "Quantised", "quantise_backbone"]

COMMAND: Final = (
    sys.executable,
    "-P",  # the working folder is the user's, not a place to import from
    "-m",
    "icecore.server.training.quantising_worker",
)

MAX_BYTES: Final = 1 << 30
"""Of all images of one task, as they came in; the process holds them until it ends."""

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """The int8 graph, and how it compares."""

    graph: bytes
    fidelity: Fidelity


async def quantise_backbone(
    backbone: Backbone,
    calibration: Sequence[ImageInput],
    evaluation: Sequence[EvaluationSet],
    *,
    percentile: float = PERCENTILE,
    threads: int = 1,
    on_progress: OnProgress,
    command: Sequence[str] = COMMAND,
) -> Quantised:
    """Return the int8 graph of a float32 backbone with its fidelity report.

    Args:
        calibration: eight images or more; the ranges are theirs.
        evaluation: labelled sets for the probes of the report; none: a report without.
        percentile: as `quantise`.
        threads: for the passes over calibration images.
        on_progress: called with a stage ("calibrating", "comparing", "timing",
            "probes") and the share of the whole that is done, 0..1.

    Raises:
        BackboneNotFloat: it is int8 already.
        CalibrationInvalid: too few images, all the same, or as `quantise`.
        ImagesTooMany: together they have more than `MAX_BYTES`.
        ImageInvalid, ImageTruncated, ImageTooLarge, TensorInvalid: naming the image.
        ClassesTooFew, ClassTooSmall: a set that no probe can learn from.
        GraphInvalid: nothing in the graph can be quantised.
        Internal: the process broke or was killed; the server's log has its words.
        asyncio.CancelledError: the process is dead by then.
    """
    await asyncio.to_thread(_check, backbone, calibration, evaluation)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,  # Ctrl-C in the server's terminal is the server's
    )
    give_way(process.pid)
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for as pipes")
    try:
        await _send(process.stdin, backbone, calibration, evaluation, percentile, threads)
        return await _receive(process.stdout, on_progress)
    except (EOFError, ConnectionError) as error:
        status = await process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise Internal(f"the process that quantised {backbone.name!r} {how}") from error
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.stdout.read()  # to its end, so that the pipes are closed when we return
        await process.wait()


def _check(
    backbone: Backbone,
    calibration: Sequence[ImageInput],
    evaluation: Sequence[EvaluationSet],
) -> None:
    if is_quantised(Graph(backbone.graph)):
        raise BackboneNotFloat(
            f"backbone {backbone.name!r} is int8 already, but must be float32 to be quantised"
        )
    if len(calibration) < MIN_IMAGES:
        raise CalibrationInvalid(
            f"there are {len(calibration)} calibration images, but at least {MIN_IMAGES} are needed"
        )
    for one in evaluation:
        _check_set(one)
    n_bytes = sum(len(content(image)) for image in _all(calibration, evaluation))
    if n_bytes > MAX_BYTES:
        raise ImagesTooMany(
            f"the images have {n_bytes:,} bytes together, but {MAX_BYTES:,} are the most"
        )


def _check_set(one: EvaluationSet) -> None:
    """Now, not after minutes of work."""
    if len(one.images) != len(one.labels):
        raise InvalidArgument(
            f"set {one.name!r} has {len(one.labels)} labels for {len(one.images)} images"
        )
    try:
        TrainingData.of({"": np.zeros((len(one.labels), 1))}, one.labels, None)
    except ProbesError as error:
        raise _error(error.reason, f"set {one.name!r} cannot be judged: {error}") from error


def _all(
    calibration: Sequence[ImageInput], evaluation: Sequence[EvaluationSet]
) -> Iterator[ImageInput]:
    yield from calibration
    for one in evaluation:
        yield from one.images


async def _send(
    writer: asyncio.StreamWriter,
    backbone: Backbone,
    calibration: Sequence[ImageInput],
    evaluation: Sequence[EvaluationSet],
    percentile: float,
    threads: int,
) -> None:
    await send_message(
        writer,
        {
            "name": backbone.name,
            "recipe": backbone.recipe.to_json(),
            "percentile": percentile,
            "threads": threads,
            "calibration": [described(image) for image in calibration],
            "evaluation": [
                {
                    "name": one.name,
                    "labels": list(one.labels),
                    "images": [described(image) for image in one.images],
                }
                for one in evaluation
            ],
        },
    )
    await send_frame(writer, backbone.graph)
    for image in _all(calibration, evaluation):
        await send_frame(writer, content(image))


async def _receive(reader: asyncio.StreamReader, on_progress: OnProgress) -> Quantised:
    while True:
        message = await receive_message(reader)
        match message["event"]:
            case "progress":
                on_progress(str(message["stage"]), float(cast(float, message["progress"])))
            case "refused":
                refusal = cast(Any, message)
                raise _error(refusal["reason"], refusal["message"], **refusal["details"])
            case "quantised":
                fidelity = Fidelity.from_json(json.loads(await receive_frame(reader)))
                return Quantised(await receive_frame(reader), fidelity)
            case other:
                raise AssertionError(f"the process sent the event {other!r}")


def _error(reason: str, message: str, **details: str) -> IcecoreError:
    """The error of that reason."""
    known = {str(one.reason): one for one in _leaves(IcecoreError)}
    return known.get(reason, Internal)(message, **details)


def _leaves(root: type[IcecoreError]) -> Iterator[type[IcecoreError]]:
    yield root
    for one in root.__subclasses__():
        yield from _leaves(one)
