"""The worker process: reads one training set, trains, answers, ends.

    python -m icecore.server.training.worker

Standard input and output carry frames (`frames.py`); standard error is the server's log.
When standard input ends the server is gone, and so is the worker.
"""

import os
import sys
import threading
import traceback
from dataclasses import asdict
from typing import Any, BinaryIO, cast

import numpy as np

from icecore.probes.continuing import continued
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.errors import ProbesError
from icecore.probes.files import from_bytes, to_bytes
from icecore.probes.held_out import HeldOut
from icecore.probes.selection import train
from icecore.probes.training import Training
from icecore.server.training.frames import read_frame, read_message, write_frame, write_message
from icecore.server.training.identities import joined
from icecore.server.training.solving_threads import threads_for


def main() -> int:
    """Serve one job; the exit status says whether it was answered."""
    stdin = sys.stdin.buffer
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    try:
        request = read_message(stdin)
        arrays = [_array(read_frame(stdin), entry) for entry in cast(Any, request["codes"])]
        base_file = read_frame(stdin) if request["base"] else None
    except EOFError:
        return 0  # a spare that was not needed
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        _answer(stdout, request, arrays, base_file)
    except Exception:  # the door of this process
        traceback.print_exc()
        return 1
    return 0


def _answer(
    stdout: BinaryIO, request: dict[str, Any], arrays: list[np.ndarray], base_file: bytes | None
) -> None:
    entries = request["codes"]
    codes = {entry["key"]: array for entry, array in zip(entries, arrays, strict=True)}

    def tell(stage: str, fraction: float) -> None:
        write_message(stdout, {"event": "progress", "stage": stage, "progress": fraction})

    try:
        if base_file is None:
            training = train(
                codes,
                request["labels"],
                kind=request["kind"],
                groups=request["groups"],
                positions={entry["key"]: entry["position"] for entry in entries},
                outputs=request["outputs"],
                alternatives=request["alternatives"],
                joining=request["joining"],
                may_shortlist=request["may_shortlist"],
                seed=request["seed"],
                threads=threads_for(
                    [array.shape for array in arrays],
                    len(set(request["labels"])),
                    is_joined=request["joining"],
                ),
                on_progress=tell,
            )
        else:
            training = continued(
                from_bytes(base_file),
                codes,
                request["labels"],
                C=request["base"]["C"],
                groups=request["groups"],
                chosen_on=request["base"]["chosen_on"],
                seed=request["seed"],
                on_progress=tell,
            )
    except ProbesError as error:
        write_message(
            stdout, {"event": "refused", "reason": str(error.reason), "message": str(error)}
        )
        return
    identities = {entry["key"]: entry["tap"] for entry in entries}
    write_message(stdout, {"event": "trained", "found": _found(training)})
    write_frame(
        stdout, to_bytes(training.probe(joined([identities[key] for key in training.keys])))
    )
    held_out = HeldOut.of(
        request["groups"],
        training.predicted,
        n_classes=len(training.classes),
        n_folds=OUTER_FOLDS,
    )
    write_frame(stdout, held_out.to_bytes())


def _found(training: Training) -> dict[str, object]:
    """What `findings.facts_of` reads."""
    return {
        "keys": list(training.keys),
        "preprocessing": training.preprocessing.value,
        "C": training.C,
        "classes": list(training.classes),
        "accuracy": asdict(training.accuracy),
        "naive": training.naive,
        "n_judged": training.n_judged,
        "trials": [asdict(trial) for trial in training.trials],
        "n_layers": training.n_layers,
        "alternatives": [asdict(trial) for trial in training.alternatives],
        "gain": None if training.gain is None else asdict(training.gain),
        "objective": training.fit.objective,
        "gap": training.fit.gap,
    }


def _array(data: bytes, entry: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(data, np.dtype(entry["dtype"])).reshape(entry["shape"])


def _end_with_the_server() -> None:
    os.read(0, 1)  # unbuffered: a thread that waits inside a buffer aborts Python's own end
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
