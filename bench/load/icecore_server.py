"""A server of ours as a user starts one, its administrator's calls, and requests to it."""

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import numpy as np
import numpy.typing as npt
from grpc_health.v1 import health_pb2, health_pb2_grpc

from icecore.v1 import (
    backbone_pb2,
    backbone_pb2_grpc,
    codes_pb2,
    common_pb2,
    tenant_pb2,
    tenant_pb2_grpc,
)
from load.bodies import Body, as_tensor, bytes_body, jpeg_body, tensor_body
from load.calling import Target
from load.networks import RECIPE_FILE, Network
from load.processes import Tree, tree

EMBED = "/icecore.v1.CodesService/Embed"
START_S = 120.0
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Icecore:
    """A running server, at `address` (HOST:PORT); its page for Prometheus is at `metrics`."""

    tree: Tree
    address: str
    metrics: str
    data: Path

    def target(self, key: str | None = None) -> Target:
        """Return where Embed is; `key` is a tenant's, None the tenant `default`."""
        headers = () if key is None else (("authorization", f"Bearer {key}"),)
        return Target("grpc", self.address, EMBED, headers)

    def new_tenant(self, tenant_id: str) -> str:
        """Make a tenant and return a key of it. From the first on, nobody is `default`."""
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = tenant_pb2_grpc.TenantServiceStub(channel)
            stub.CreateTenant(
                tenant_pb2.CreateTenantRequest(tenant_id=tenant_id), metadata=self._admin()
            )
            made = stub.CreateKey(
                tenant_pb2.CreateKeyRequest(tenant_id=tenant_id), metadata=self._admin()
            )
        return str(made.secret)

    def add(self, network: Network) -> None:
        """Make sure that the server has the network."""
        data = network.file
        if data is None:
            return

        def parts(data: bytes) -> Iterator[backbone_pb2.AddBackboneRequest]:
            request = backbone_pb2.AddBackboneRequest
            header = request.Header(name=network.name)
            header.recipe_file.name = RECIPE_FILE.name
            header.recipe_file.content = RECIPE_FILE.content
            yield request(header=header)
            for start in range(0, len(data), CHUNK_BYTES):
                yield request(chunk=data[start : start + CHUNK_BYTES])

        with grpc.insecure_channel(self.address) as channel:
            stub: Any = backbone_pb2_grpc.BackboneServiceStub(channel)
            stub.AddBackbone(parts(data), metadata=self._admin())

    def health(self, timeout_s: float = 1.0) -> str:
        """Return what grpc.health.v1 says, or the status of a call that failed."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
            except grpc.RpcError as error:
                return str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def counted(self, name: str, **labels: str) -> float:
        """Return a counter's value now, the sum over all that carry these labels."""
        with urlopen(f"http://{self.metrics}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        found = [line for line in lines if re.match(rf"{re.escape(name)}[ {{]", line)]
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [line for line in found if all(one in line for one in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def plans(self) -> list[dict[str, Any]]:
        """Return how it found that its networks run best, of those measured so far."""
        try:
            told = json.loads((self.data / "plans.json").read_text())
        except FileNotFoundError:
            return []
        return list(told["plans"].values())

    def _admin(self) -> list[tuple[str, str]]:
        key = (self.data / "admin.key").read_text().strip()
        return [("authorization", f"Bearer {key}")]


@contextmanager
def icecore_server(
    folder: Path, *arguments: str, cores: Sequence[int] | None = None
) -> Iterator[Icecore]:
    """Serve a fresh data folder inside `folder`; `arguments` are flags of the server's."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    whole = [sys.executable, "-m", "icecore.server", "--data", str(data), "--listen", "127.0.0.1:0"]
    whole += ["--metrics", "127.0.0.1:0"]
    log = folder / "server.log"
    with tree([*whole, *arguments], log, cores=cores) as started:
        described = data / "server.json"
        deadline = time.monotonic() + START_S
        while not described.exists():
            started.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start in {START_S:.0f} s: {started.tail()}")
            time.sleep(0.02)
        told = json.loads(described.read_text())
        yield Icecore(started, told["listen"], told["metrics"], data)


def tensor_request(backbone: str, tensor: npt.NDArray[np.float32], n_images: int = 1) -> Body:
    """Return an Embed of float32 tensors, (3, h, w) each."""

    def write(data: bytes) -> bytes:
        image = common_pb2.Image(
            tensor=common_pb2.Tensor(dtype=common_pb2.D_TYPE_FLOAT32, shape=tensor.shape, data=data)
        )
        request = codes_pb2.EmbedRequest(backbone=backbone, images=[image] * n_images)
        return request.SerializeToString()

    return tensor_body(tensor, write, n_images)


def pixels_request(backbone: str, pixels: npt.NDArray[np.uint8], n_images: int = 1) -> Body:
    """Return an Embed of (h, w, 3) pixels of exactly the network's size, each image open."""

    def write(data: bytes) -> bytes:
        tensor = common_pb2.Tensor(dtype=common_pb2.D_TYPE_UINT8, shape=pixels.shape, data=data)
        images = [common_pb2.Image(tensor=tensor)] * n_images
        return codes_pb2.EmbedRequest(backbone=backbone, images=images).SerializeToString()

    return bytes_body(pixels.tobytes(), write, n_images)


def jpeg_request(backbone: str, jpeg: bytes, n_images: int = 1) -> Body:
    """Return an Embed of the same JPEG, made different in its comment."""

    def write(data: bytes) -> bytes:
        images = [common_pb2.Image(encoded=data)] * n_images
        return codes_pb2.EmbedRequest(backbone=backbone, images=images).SerializeToString()

    return jpeg_body(jpeg, write, n_images)


def codes_of(answer: bytes) -> npt.NDArray[np.float32]:
    """Return (n, d) of an Embed's answer."""
    (codes,) = codes_pb2.EmbedResponse.FromString(answer).codes
    return as_tensor(codes.data, codes.shape)
