"""BentoML: `workers` processes that each answer HTTP and run the network.

Bodies are raw bytes: a single positional-only argument of type Path takes the whole body,
which BentoML puts into a temporary file; arrays it would take as JSON lists alone. For the
same reason there is no adaptive batching: a list of files takes no raw body.
Started by the driver: serve_bentoml.py FOLDER
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
from network import Network, Plan

FOLDER = "PEER_FOLDER"
plan = Plan.read(os.environ.setdefault(FOLDER, sys.argv[1] if len(sys.argv) > 1 else ""))
Raw = Annotated[bytes, bentoml.validators.ContentType("application/octet-stream")]


@bentoml.service(
    workers=plan.workers,
    threads=plan.at_once,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Codes:
    """Codes of one image."""

    def __init__(self) -> None:
        self.network = Network(plan)

    @bentoml.api  # type: ignore[untyped-decorator]
    def tensor(self, file: Path, /) -> Raw:
        return self.network.codes(self.network.from_bytes(file.read_bytes())[None]).tobytes()

    @bentoml.api  # type: ignore[untyped-decorator]
    def jpeg(self, file: Path, /) -> Raw:
        return self.network.codes(self.network.decode(file.read_bytes())[None]).tobytes()


if __name__ == "__main__":
    here = Path(__file__).resolve()
    command = [str(Path(sys.executable).parent / "bentoml"), "serve", f"{here.stem}:Codes"]
    options = ["--working-dir", str(here.parent), "--host", "127.0.0.1", "--port", str(plan.port)]
    os.execv(command[0], [*command, *options])  # noqa: S606 - its own program
