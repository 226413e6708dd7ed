"""Worker processes that behave as a test wants, without a solver.

    COMMAND(behaviour) -> what `Trainer(command=...)` and `Workers(...)` start

They speak the frames of `icecore.server.training`, so only the training itself is
a stand-in. "wait" reports a stage and then waits for its server's end; "compute" does not
even look for that.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from icecore.probes.held_out import HeldOut
from icecore.server.training.frames import read_frame, read_message, write_frame, write_message


def stand_in(behaviour: str, *arguments: str | Path) -> tuple[str, ...]:
    """Return the command of a worker that does this."""
    return (sys.executable, "-P", __file__, behaviour, *map(str, arguments))


def main() -> None:
    behaviour, *arguments = sys.argv[1:]
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    try:
        request = read_message(stdin)
        for _ in request["codes"]:  # type: ignore[attr-defined]
            read_frame(stdin)
        if request["base"]:
            read_frame(stdin)
    except EOFError:
        return
    write_message(stdout, {"event": "progress", "stage": "choosing", "progress": 0.5})
    if behaviour == "wait":
        stdin.read()
    elif behaviour == "compute":
        while True:
            signal.pause()
    elif behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif behaviour == "die-once":
        mark = Path(arguments[0])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        answer(stdout)
    elif behaviour == "refuse":
        write_message(
            stdout, {"event": "refused", "reason": "CLASS_TOO_SMALL", "message": "too small"}
        )
    elif behaviour == "break":
        sys.exit(1)
    elif behaviour == "answer":
        ranked = [entry for entry in request["codes"] if entry["position"]]  # type: ignore[attr-defined]
        answer(stdout, str(ranked[-1]["key"]))
    else:
        raise AssertionError(behaviour)


def answer(stdout, key: str = "three") -> None:  # type: ignore[no-untyped-def]
    accuracy = {"estimate": 1.0, "low": 0.5, "high": 1.0}
    found = {
        "keys": [key],
        "gain": None,
        "C": 1.0,
        "classes": ["ant", "bee"],
        "accuracy": accuracy,
        "naive": 1.0,
        "preprocessing": "none",
        "n_judged": 2,
        "n_layers": 1,
        "alternatives": [],
        "trials": [
            {
                "key": key,
                "accuracy": accuracy,
                "C": 1.0,
                "is_chosen": True,
                "preprocessing": "none",
            }
        ],
        "objective": 1.0,
        "gap": 0.0,
    }
    write_message(stdout, {"event": "trained", "found": found})
    write_frame(stdout, b"a probe file")
    nobody = HeldOut.of([], np.zeros(0, np.int64), n_classes=2, n_folds=5)
    write_frame(stdout, nobody.to_bytes())


if __name__ == "__main__":
    main()
