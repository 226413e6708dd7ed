"""The peers' servers, and ours: started, waited for, ended."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from load.calling import Answer, caller
from load.icecore_server import codes_of, icecore_server, jpeg_request, tensor_request
from load.networks import Network
from load.processes import Tree, tree
from peers.asking import INPUTS, Asked, asked_of
from peers.configurations import OURS, Variant
from peers.environments import ENVIRONMENTS, library_folder, python_of

SERVING = Path(__file__).resolve().parent / "serving"
START_S = 60.0
TRIES = 3
"""PyTriton's instances sometimes meet before the first one listens, and it gives up."""


@contextmanager
def serving(
    name: str,
    variant: Variant,
    network: Network,
    graph: Path,
    tensor: npt.NDArray[np.float32],
    jpeg: bytes,
    folder: Path,
    *,
    cores: Sequence[int] | None = None,
    environments: Path = ENVIRONMENTS,
) -> Iterator[Asked]:
    """Run a server on `graph` (icecore: on the network that it was cut from) and wait for it.

    Raises:
        RuntimeError: it did not start, in `TRIES` tries.
    """
    if name == OURS:
        with icecore_server(folder, cores=cores) as server:
            server.add(network)
            backbone = "" if network.file is None else network.name
            asked = Asked(
                server.tree,
                dict.fromkeys(INPUTS, server.target()),
                {"tensor": tensor_request(backbone, tensor), "jpeg": jpeg_request(backbone, jpeg)},
                lambda answer: codes_of(answer)[0],
            )
            _wait(asked)
            yield asked
        return
    for number in range(TRIES):
        with ExitStack() as stack:
            place = folder / str(number)
            started, port = stack.enter_context(
                _started(name, variant, network, graph, place, cores, environments)
            )
            asked = asked_of(name, started, port, tensor, jpeg)
            try:
                _wait(asked)
            except RuntimeError:
                if number == TRIES - 1:
                    raise
                continue
            yield asked
            return


@contextmanager
def _started(
    peer: str,
    variant: Variant,
    network: Network,
    graph: Path,
    folder: Path,
    cores: Sequence[int] | None,
    environments: Path,
) -> Iterator[tuple[Tree, int]]:
    python = python_of(peer, environments)
    folder.mkdir(parents=True)
    os.link(graph, folder / "graph.onnx")
    (folder / "recipe.json").write_text(network.recipe_json())
    ports = _free_ports(3)
    plan = {key: value for key, value in asdict(variant).items() if key not in ("name", "use")}
    plan |= dict(zip(("port", "other_port", "third_port"), ports, strict=True))
    (folder / "plan.json").write_text(json.dumps(plan))
    environment = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "LD_LIBRARY_PATH": library_folder(),
        "ORT_DISABLE_TELEMETRY": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder),
        "TMPDIR": str(folder),
    }
    command = [str(python), str(SERVING / f"serve_{peer}.py"), str(folder)]
    with tree(
        command, folder / "log", environment=environment, cores=cores, folder=folder
    ) as started:
        yield started, ports[0]


def _wait(asked: Asked) -> None:
    """Return when both inputs have been answered."""
    deadline = time.monotonic() + START_S
    for kind in INPUTS:
        while (said := _ask(asked, kind)).end != "OK":
            asked.tree.check()
            if time.monotonic() > deadline:
                told = f"{said.end} {said.told}: {asked.tree.tail()}"
                raise RuntimeError(f"not ready in {START_S:.0f} s: {told}")
            time.sleep(0.2)


def answer(asked: Asked, kind: str) -> npt.NDArray[np.float32]:
    """Return the codes of a request as it was written, nothing filled in.

    Raises:
        RuntimeError: it was not answered.
    """
    said = _ask(asked, kind)
    if said.end != "OK":
        raise RuntimeError(f"{kind}: {said.end} {said.told}")
    return asked.read(said.body)


def _ask(asked: Asked, kind: str) -> Answer:
    async def once() -> Answer:
        calling = caller(asked.targets[kind], 1)
        try:
            return await calling.call(asked.bodies[kind].data, 10.0)
        finally:
            await calling.close()

    return asyncio.run(once())


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
