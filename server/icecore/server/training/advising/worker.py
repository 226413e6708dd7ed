"""The process that judges one collection: layers first, then images, then the advice.

    python -m icecore.server.training.advising.worker

Standard input and output carry frames (`frames.py`); standard error is the server's log. It
asks for images once it knows which backbone to draw twins of. When the server is gone
its pipes are, and the next progress told ends this process.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, BinaryIO, Final, cast

import numpy as np

from icecore.probes.advising.advice import advise
from icecore.probes.advising.candidates import Candidate
from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.errors import ProbesError
from icecore.probes.linear_probe import CodeArray, ProbeKind
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import IcecoreError
from icecore.server.training.advising.looking import Twins
from icecore.server.training.advising.stages import Stages
from icecore.server.training.frames import read_frame, read_message, write_frame, write_message

_LEAST: Final = 1e-30
"""A probability whose logarithm is finite."""


def main() -> int:
    """Do one task; the exit status says whether it was answered."""
    stdin = sys.stdin.buffer
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    try:
        _answer(stdin, stdout)
    except (EOFError, BrokenPipeError):  # the server is gone, or its caller
        return 0
    except Exception:  # the door of this process
        traceback.print_exc()
        return 1
    return 0


def _answer(stdin: BinaryIO, stdout: BinaryIO) -> None:
    request = cast(Any, read_message(stdin))
    candidates = [_candidate(entry, read_frame(stdin)) for entry in request["candidates"]]
    try:
        _advise(stdin, stdout, request, candidates)
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


def _advise(
    stdin: BinaryIO, stdout: BinaryIO, request: Any, candidates: Sequence[Candidate]
) -> None:
    stages = Stages.from_json(request["stages"])
    tell = partial(_tell, stdout, stages)
    contest = LayerContest.of(
        candidates,
        request["labels"],
        request["groups"],
        kind=ProbeKind(request["kind"]),
        seed=request["seed"],
        on_share=partial(tell, "layers"),
    )
    shown = frozenset(one.row for one in contest.confusion.shown)
    write_message(stdout, {"event": "chosen", "backbone": contest.chosen.backbone})
    looked = _twins(stdin, lambda share: tell("twins", stages.drawn(share))).look(
        _frames(stdin),
        len(request["labels"]),
        shown=shown,
        on_share=lambda share: tell("twins", stages.looked(share)),
    )
    advice = advise(
        contest,
        looked.baselines,
        logits=_logits(request["candidates"], contest),
        n_labelled=request["n_labelled"],
        seed=request["seed"],
        on_progress=tell,
    )
    rows = sorted(looked.thumbnails)
    write_message(stdout, {"event": "advice", "advice": asdict(advice), "thumbnails": rows})
    for row in rows:
        write_frame(stdout, looked.thumbnails[row])


def _twins(stdin: BinaryIO, on_share: Callable[[float], None]) -> Twins:
    asked = cast(Any, read_message(stdin))
    graph = read_frame(stdin)
    calibration = [read_frame(stdin) for _ in range(asked["n_calibration"])]
    backbone = Backbone.read(asked["name"], graph, Recipe.from_json(asked["recipe"]))
    return Twins(backbone, asked["layers"], calibration, on_share)


def _logits(entries: Sequence[Any], contest: LayerContest) -> CodeArray | None:
    """The chosen backbone's own outputs, as logits."""
    for entry, candidate in zip(entries, contest.candidates.values(), strict=True):
        if candidate.backbone == contest.chosen.backbone and not candidate.depth:
            codes = candidate.codes.astype(np.float64)
            is_share = entry["role"] == "probabilities"
            return np.log(np.maximum(codes, _LEAST)) if is_share else codes
    return None


def _candidate(entry: Any, data: bytes) -> Candidate:
    codes = np.frombuffer(data, np.dtype(entry["dtype"])).reshape(entry["shape"])
    return Candidate(
        entry["backbone"], entry["layer"], entry["depth"], codes, entry["n_bytes"], entry["macs"]
    )


def _frames(stdin: BinaryIO) -> Iterator[bytes]:
    while True:
        yield read_frame(stdin)


def _tell(stdout: BinaryIO, stages: Stages, stage: str, share: float) -> None:
    progress = stages.at(stage, share)
    write_message(stdout, {"event": "progress", "stage": stage, "progress": progress})


if __name__ == "__main__":
    sys.exit(main())
