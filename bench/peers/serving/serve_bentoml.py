"""BentoML: `workers` processes that each answer HTTP and run the network.

Bodies are raw bytes: a single positional-only argument of type Path takes the whole body,
which BentoML puts into a temporary file; arrays it would take as JSON lists alone.
Started by the driver: serve_bentoml.py FOLDER
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
import numpy.typing as npt
from network import Network, Plan

FOLDER = "PEER_FOLDER"
plan = Plan.read(os.environ.setdefault(FOLDER, sys.argv[1] if len(sys.argv) > 1 else ""))
Raw = Annotated[bytes, bentoml.validators.ContentType("application/octet-stream")]

batched = bentoml.api(
    batchable=True,
    max_batch_size=max(2, plan.max_batch),
    max_latency_ms=max(1, int(plan.max_wait_ms)),
)


@bentoml.service(
    workers=plan.workers,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Codes:
    """Codes of one image; adaptive batching, where it is on, gives lists of files."""

    def __init__(self) -> None:
        self.network = Network(plan)

    if plan.max_batch > 1:

        @batched  # type: ignore[untyped-decorator]
        def tensor(self, files: list[Path], /) -> list[bytes]:
            return self.of([self.network.from_bytes(file.read_bytes()) for file in files])

        @batched  # type: ignore[untyped-decorator]
        def jpeg(self, files: list[Path], /) -> list[bytes]:
            return self.of([self.network.decode(file.read_bytes()) for file in files])

    else:

        @bentoml.api  # type: ignore[untyped-decorator]
        def tensor(self, file: Path, /) -> Raw:
            return self.of([self.network.from_bytes(file.read_bytes())])[0]

        @bentoml.api  # type: ignore[untyped-decorator]
        def jpeg(self, file: Path, /) -> Raw:
            return self.of([self.network.decode(file.read_bytes())])[0]

    def of(self, images: list[npt.NDArray[np.float32]]) -> list[bytes]:
        return [codes.tobytes() for codes in self.network.codes(np.stack(images))]


if __name__ == "__main__":
    here = Path(__file__).resolve()
    command = [str(Path(sys.executable).parent / "bentoml"), "serve", f"{here.stem}:Codes"]
    options = ["--working-dir", str(here.parent), "--host", "127.0.0.1", "--port", str(plan.port)]
    os.execv(command[0], [*command, *options])  # noqa: S606 - its own program
