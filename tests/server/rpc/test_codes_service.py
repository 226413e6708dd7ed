"""What the service keeps of requests: little, whoever asks for what."""

from math import prod
from typing import Any

import numpy as np

from icecore.server.embedding.embedder import Embedded, Timings
from icecore.server.embedding.images import Encoded
from icecore.server.embedding.orders import Order
from icecore.server.rpc import calls, embed_reading
from icecore.server.rpc.codes_service import CodesService
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

    def at_hand(self, name: str) -> Any:
        return BACKBONE

    async def embed(self, backbone: Any, taps: Any, images: Any, **given: Any) -> Embedded:
        assert images == [Encoded(b"x")]
        self.taps.append(taps)
        self.in_hand.append(self.house.n_bytes)
        codes = tuple(np.zeros((1, 2), np.float32) for _ in taps)
        return Embedded(codes, Timings(0.0, 0.0, 0.0, 0.0))


async def test_what_names_thousands_of_layers_is_not_kept() -> None:
    anything: Any = Asked()
    service = CodesService(anything, anything)
    calls.begin(calls.Call("r", "/icecore.v1.CodesService/Embed", Principal("ours"), None))
    for layers, n_kept in ((["1", "-1"], 1), (["1"] * 3000, 1), (["*"], 2), (["1", "-1"], 2)):
        request = codes_pb2.EmbedRequest(layers=layers, images=[common_pb2.Image(encoded=b"x")])
        await service.Embed(embed_reading.read(request.SerializeToString()), None)
        assert len(service._readings) == n_kept
    assert anything.taps[0] is anything.taps[3]
    assert len(anything.taps[1]) == 3000


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
