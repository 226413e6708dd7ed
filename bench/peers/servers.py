"""The peers: how each is configured, started and asked."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from load.bodies import Body, jpeg_body, tensor_body
from load.calling import Target, caller
from load.icecore_server import codes_of, icecore_server, jpeg_request, tensor_request
from load.networks import Network
from load.processes import Tree, tree
from peers import inference_protocol as protocol
from peers.environments import ENVIRONMENTS, library_folder, python_of

SERVING = Path(__file__).resolve().parent / "serving"
START_S = 90.0
TRIES = 3
"""PyTriton's instances sometimes meet before the first one listens, and it gives up."""

OCTETS = (("Content-Type", "application/octet-stream"),)
INPUTS = ("tensor", "jpeg")


@dataclass(frozen=True)
class Variant:
    """One way to configure a peer; see `serving.network.Plan`."""

    name: str
    workers: int
    threads: int
    max_batch: int = 1
    max_wait_ms: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A running server as the generator sees it: where, what, and how its answers are read."""

    tree: Tree
    targets: Mapping[str, Target]
    bodies: Mapping[str, Body]
    read: Callable[[bytes], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Peer:
    """A server of others. `spoken` is "http", "pytriton" or "mlserver"."""

    name: str
    spoken: str
    variants: Callable[[int], Sequence[Variant]]
    """By the number of cores; the first is the one for load, the second for a lone caller."""

    def target(self, port: int, kind: str) -> Target:
        if self.spoken == "http":
            return Target("http", f"127.0.0.1:{port}", f"/{kind}", OCTETS)
        return Target("grpc", f"127.0.0.1:{port}", protocol.INFER)

    def body(self, kind: str, tensor: npt.NDArray[np.float32], jpeg: bytes) -> Body:
        """Return a request for one image."""
        if kind == "tensor":
            return tensor_body(tensor, lambda data: self._message(kind, tensor.shape, data))
        return jpeg_body(jpeg, lambda data: self._message(kind, (), data))

    def read(self, answer: bytes) -> npt.NDArray[np.float32]:
        if self.spoken == "pytriton":
            answer = protocol.raw_output(answer)
        elif self.spoken == "mlserver":
            answer = protocol.first_element(protocol.raw_output(answer))
        return np.frombuffer(answer, "<f4")

    def _message(self, kind: str, shape: tuple[int, ...], data: bytes) -> bytes:
        if self.spoken == "http":
            return data
        if self.spoken == "mlserver":
            return protocol.request(kind, "BYTES", (1,), protocol.element(data))
        if kind == "tensor":
            return protocol.request(kind, "FP32", (1, *shape), data)
        return protocol.request(kind, "BYTES", (1, 1), protocol.element(data))


def _each(cores: int) -> Variant:
    return Variant("one a core", workers=cores, threads=1)


def _lone(cores: int) -> Variant:
    return Variant("all cores", workers=1, threads=cores)


def _batches(cores: int) -> Variant:
    return Variant("batches", workers=cores, threads=1, max_batch=8, max_wait_ms=2.0)


def _usual(cores: int) -> Sequence[Variant]:
    return _each(cores), _lone(cores), _batches(cores)


def _mlserver(cores: int) -> Sequence[Variant]:
    threads = Variant("threads", workers=0, threads=1)
    return threads, Variant("all cores", workers=0, threads=cores), _each(cores), _batches(cores)


PEERS = {
    peer.name: peer
    for peer in (
        Peer("pytriton", "pytriton", _usual),
        Peer("litserve", "http", _usual),
        Peer("mlserver", "mlserver", _mlserver),
        Peer("bentoml", "http", _usual),
    )
}
OURS = "icecore"
OURS_ALONE = Variant("as it comes", workers=0, threads=0)


def variants_of(name: str, cores: int) -> Sequence[Variant]:
    return (OURS_ALONE,) if name == OURS else PEERS[name].variants(cores)


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
            yield Asked(
                server.tree,
                dict.fromkeys(INPUTS, server.target()),
                {"tensor": tensor_request(backbone, tensor), "jpeg": jpeg_request(backbone, jpeg)},
                lambda answer: codes_of(answer)[0],
            )
        return
    peer = PEERS[name]
    bodies = {kind: peer.body(kind, tensor, jpeg) for kind in INPUTS}
    for number in range(TRIES):
        with ExitStack() as stack:
            place = folder / str(number)
            started, port = stack.enter_context(
                _started(peer, variant, network, graph, place, cores, environments)
            )
            targets = {kind: peer.target(port, kind) for kind in INPUTS}
            asked = Asked(started, targets, bodies, peer.read)
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
    peer: Peer,
    variant: Variant,
    network: Network,
    graph: Path,
    folder: Path,
    cores: Sequence[int] | None,
    environments: Path,
) -> Iterator[tuple[Tree, int]]:
    python = python_of(peer.name, environments)
    folder.mkdir(parents=True)
    os.link(graph, folder / "graph.onnx")
    (folder / "recipe.json").write_text(network.recipe_json())
    ports = _free_ports(3)
    plan = {key: value for key, value in asdict(variant).items() if key != "name"}
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
    command = [str(python), str(SERVING / f"serve_{peer.name}.py"), str(folder)]
    with tree(
        command, folder / "log", environment=environment, cores=cores, folder=folder
    ) as started:
        yield started, ports[0]


def _wait(asked: Asked) -> None:
    """Return when both inputs have been answered."""
    deadline = time.monotonic() + START_S
    for kind in INPUTS:
        while (said := answer(asked, kind)) is None:
            asked.tree.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ready in {START_S:.0f} s: {asked.tree.tail()}")
            time.sleep(0.2)
        del said


def answer(asked: Asked, kind: str) -> npt.NDArray[np.float32] | None:
    """Return the codes of a request as it was written, nothing filled in; None if none came."""

    async def once() -> bytes | None:
        calling = caller(asked.targets[kind], 1)
        try:
            got = await calling.call(asked.bodies[kind].data, 10.0)
        finally:
            await calling.close()
        return got.body if got.end == "OK" else None

    body = asyncio.run(once())
    return None if body is None else asked.read(body)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
