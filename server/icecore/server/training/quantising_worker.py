"""The process that quantises one backbone: decodes, calibrates, writes, compares, ends.

    python -m icecore.server.training.quantising_worker

Standard input and output carry frames (`frames.py`); standard error is the server's log.
When standard input ends the server is gone, and so is this process.
"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from icecore.probes.errors import ProbesError
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.quantising.quantise import quantise
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.embedding.images import ImageInput
from icecore.server.errors import CalibrationInvalid, IcecoreError
from icecore.server.training.fidelity import EvaluationSet, Pair, batches, measure
from icecore.server.training.frames import read_frame, read_message, write_frame, write_message
from icecore.server.training.image_frames import image_of

SHARES: Final = {
    "calibrating": (0.0, 0.5),
    "comparing": (0.5, 0.1),
    "timing": (0.6, 0.1),
    "probes": (0.7, 0.3),
}
"""Where a stage begins and how much of the whole it is."""


@dataclass(frozen=True, slots=True)
class _Task:
    backbone: Backbone
    calibration: Sequence[ImageInput]
    evaluation: Sequence[EvaluationSet]
    percentile: float
    threads: int


def main() -> int:
    """Do one task; the exit status says whether it was answered."""
    stdin = sys.stdin.buffer
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    try:
        task = _task(stdin)
    except EOFError:
        return 0
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        _answer(stdout, task)
    except Exception:  # the door of this process
        traceback.print_exc()
        return 1
    return 0


def _task(stdin: BinaryIO) -> _Task:
    request = cast(Any, read_message(stdin))
    graph = read_frame(stdin)

    def images(entries: Sequence[Any]) -> list[ImageInput]:
        return [image_of(entry, read_frame(stdin)) for entry in entries]

    calibration = images(request["calibration"])
    evaluation = [
        EvaluationSet(one["name"], images(one["images"]), one["labels"])
        for one in request["evaluation"]
    ]
    return _Task(
        Backbone.read(request["name"], graph, Recipe.from_json(request["recipe"])),
        calibration,
        evaluation,
        request["percentile"],
        request["threads"],
    )


def _answer(stdout: BinaryIO, task: _Task) -> None:
    def tell(stage: str, fraction: float) -> None:
        first, share = SHARES[stage]
        write_message(
            stdout,
            {"event": "progress", "stage": stage, "progress": first + share * min(fraction, 1.0)},
        )

    plain = task.backbone
    try:
        graph = quantise(
            plain.graph,
            _calibration(task, lambda fraction: tell("calibrating", fraction)),
            percentile=task.percentile,
            threads=task.threads,
        )
        int8 = Backbone.read(plain.name, graph, plain.recipe)
        fidelity = measure(Pair(plain, int8), task.calibration, task.evaluation, on_progress=tell)
    except (IcecoreError, ProbesError) as error:
        write_message(
            stdout,
            {
                "event": "refused",
                "reason": str(error.reason),
                "message": str(error),
                "details": error.details if isinstance(error, IcecoreError) else {},
            },
        )
        return
    write_message(stdout, {"event": "quantised"})
    write_frame(stdout, json.dumps(fidelity.to_json()).encode())
    write_frame(stdout, graph)


def _calibration(
    task: _Task, on_progress: Callable[[float], None]
) -> Iterator[npt.NDArray[np.float32]]:
    """Batches of the calibration images; refuses a set that is one image over and over."""
    images = task.calibration
    named = [(f"calibration image {place}", image) for place, image in enumerate(images)]
    first: npt.NDArray[np.float32] | None = None
    differ = False
    n_done = 0
    for batch in batches(named, task.backbone):
        first = batch[0] if first is None else first
        differ = differ or bool((batch != first).any())
        on_progress(n_done / len(images))
        yield batch
        n_done += len(batch)
    if not differ:
        raise CalibrationInvalid(
            f"the {len(images)} calibration images are all the same; different ones are needed"
        )


def _end_with_the_server() -> None:
    os.read(0, 1)  # unbuffered: a thread that waits inside a buffer aborts Python's own end
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
