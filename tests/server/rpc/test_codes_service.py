"""What the service keeps of requests: little, whoever asks for what."""

import threading
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

from icecore.server.embedding.embedder import Embedded, Timings
from icecore.server.embedding.images import Encoded
from icecore.server.embedding.orders import Order
from icecore.server.rpc import calls, embed_reading
from icecore.server.rpc.codes_service import WRITTEN_AT_ONCE, CodesService
from icecore.server.rpc.embed_writing import Reading
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.tenants import Principal
from icecore.v1 import codes_pb2, common_pb2
from toys import toy_backbone

BACKBONE = toy_backbone()


class Asked:
    """Stands for the catalog and the embedder; keeps which taps are asked for."""

    def __init__(self) -> None:
        self.taps: list[Any] = []
        self.house = Holding(1 << 30)
        self.in_hand: list[int] = []
        self.dims = 2

    def at_hand(self, name: str) -> Any:
        return BACKBONE

    async def embed(self, backbone: Any, taps: Any, images: Any, **given: Any) -> Embedded:
        assert images == [Encoded(b"x")]
        self.taps.append(taps)
        self.in_hand.append(self.house.n_bytes)
        codes = tuple(np.zeros((1, self.dims), np.float32) for _ in taps)
        return Embedded(codes, Timings(0.0, 0.0, 0.0, 0.0))


async def test_what_names_thousands_of_layers_is_not_kept() -> None:
    anything: Any = Asked()
    service = CodesService(anything, anything)
    calls.begin(calls.Call("r", "/icecore.v1.CodesService/Embed", Principal("ours"), None))
    for layers, n_kept in (
        (["1", "-1"], 1),
        (["1"] * 3000, 1),
        (["*"] * 200, 1),
        (["*"], 2),
        (["1", "-1"], 2),
    ):
        request = codes_pb2.EmbedRequest(layers=layers, images=[common_pb2.Image(encoded=b"x")])
        await service.Embed(embed_reading.read(request.SerializeToString()), None)
        assert len(service._readings) == n_kept
    assert anything.taps[0] is anything.taps[4]
    assert len(anything.taps[1]) == 3000


async def test_nothing_is_kept_that_would_not_be_found_again() -> None:
    """What is long, or what protobuf had to read, is not told to be the same by the next one."""
    anything: Any = Asked()
    service = CodesService(anything, anything)
    calls.begin(calls.Call("r", "/icecore.v1.CodesService/Embed", Principal("ours"), None))
    image = [common_pb2.Image(encoded=b"x")]
    long = codes_pb2.EmbedRequest(
        layers=["branch"] * 128, backbone="toy-name", images=image
    ).SerializeToString()
    request = codes_pb2.EmbedRequest(layers=["1"], images=image)
    odd = b"\x7b\x7c" + request.SerializeToString()  # a group is not taken apart by hand
    for data in (long, odd) * 3:
        await service.Embed(embed_reading.read(data), None)
    assert len(anything.taps) == 6
    assert service._readings == {}


@pytest.mark.parametrize(("dims", "is_apart"), [(2, False), (WRITTEN_AT_ONCE // 4 + 1, True)])
async def test_large_answers_are_written_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, dims: int, is_apart: bool
) -> None:
    """Maps of hundreds of megabytes would hold up all others."""
    wrote: list[int] = []
    write: Callable[..., bytes] = Reading.written

    def written(reading: Reading, embedded: Embedded) -> bytes:
        wrote.append(threading.get_ident())
        return write(reading, embedded)

    monkeypatch.setattr(Reading, "written", written)
    anything: Any = Asked()
    anything.dims = dims
    service = CodesService(anything, anything)
    calls.begin(calls.Call("r", "/icecore.v1.CodesService/Embed", Principal("ours"), None))
    request = codes_pb2.EmbedRequest(layers=["1"], images=[common_pb2.Image(encoded=b"x")])
    answer = await service.Embed(embed_reading.read(request.SerializeToString()), None)
    assert len(answer) > 4 * dims
    assert [one != threading.get_ident() for one in wrote] == [is_apart]


async def test_room_for_an_answer_is_taken_before_its_codes_are_made() -> None:
    """What the embedder allocates is known from what is asked for."""
    anything: Any = Asked()
    service = CodesService(anything, anything)
    calls.begin(calls.Call("r", "/icecore.v1.CodesService/Embed", Principal("ours"), None))
    for kind, dtype, n_bytes in (
        (common_pb2.POOLING_KIND_NONE, common_pb2.D_TYPE_FLOAT32, 4),
        (common_pb2.POOLING_KIND_NONE, common_pb2.D_TYPE_FLOAT16, 2),
        (common_pb2.POOLING_KIND_AVG, common_pb2.D_TYPE_FLOAT32, 4),
    ):
        request = codes_pb2.EmbedRequest(
            layers=["*"],
            images=[common_pb2.Image(encoded=b"x")],
            pooling=common_pb2.Pooling(kind=kind),
            dtype=dtype,
        )
        async with Hand(anything.house, "Embed"):
            await service.Embed(embed_reading.read(request.SerializeToString()), None)
        taps = anything.taps[-1]
        n_values = sum(map(prod, Order(BACKBONE, taps, ()).shapes))
        assert anything.in_hand[-1] == n_values * n_bytes
    assert anything.house.n_bytes == 0
    assert anything.in_hand[0] > anything.in_hand[2]
