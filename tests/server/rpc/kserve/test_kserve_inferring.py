"""What a request's call and parameters become on the way to the embedder and the predictor."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from icecore.kserve import open_inference as pb
from icecore.probes.linear_probe import Predictions
from icecore.server.embedding.embedder import Embedded, Priority, Timings
from icecore.server.errors import MessageTooLarge
from icecore.server.rpc import calls
from icecore.server.rpc.holding import Holding
from icecore.server.rpc.in_hand import Hand
from icecore.server.rpc.kserve.inferring import Inferring
from icecore.server.rpc.kserve.request import Request
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.tenants import Principal
from icecore.server.training.predictor import Predicted
from kserve_models import prepared, request
from toys import toy_backbone

BACKBONE = toy_backbone()
SPENT = Timings(queue_ms=0.0, decode_ms=0.0, compute_ms=0.0, total_ms=0.0)


class Asked:
    """Stands for the catalog, the store, the embedder and the predictor; keeps what is asked."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.house = Holding(1 << 30)
        self.in_hand = 0

    def get(self, name: str) -> Any:
        assert name == "toy"
        return BACKBONE

    at_hand = get

    def tenant(self, tenant_id: str) -> str:
        return f"the store of {tenant_id}"

    async def embed(self, backbone: Any, taps: Any, images: Any, **given: Any) -> Embedded:
        self.given = given
        self.in_hand = self.house.n_bytes
        return Embedded((np.zeros((len(images), 6), given["dtype"]),), SPENT)

    async def predict(
        self, store: Any, probe_id: str, version: int, images: Any, **given: Any
    ) -> Predicted:
        self.given = {**given, "store": store, "probe_id": probe_id, "version": version}
        said = Predictions(("a",), None, np.zeros((1, 2)))
        return Predicted(said, ("a", "b"), probe_id, version or 7, BACKBONE.core[:1], SPENT)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def inferring(asked: Asked) -> Iterator[Inferring]:
    anything: Any = asked
    sharing = Sharing(is_on=True, listens_to_others=False)
    parts = (anything, anything, anything, anything)
    yield Inferring(*parts, sharing, max_bytes=1 << 10, is_caching=False)
    sharing.close()


async def _infer(
    inferring: Inferring, *args: Any, deadline: float | None = None, **fields: Any
) -> Any:
    principal = Principal("ours")
    calls.begin(calls.Call("r", "/inference.GRPCInferenceService/ModelInfer", principal, deadline))
    return await _send(inferring, request(prepared(1), *args, **fields))


async def _send(inferring: Inferring, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
    asked = Request(message, message.raw_input_contents)
    return await inferring.infer(asked, peer=lambda: "unix:")


@pytest.mark.parametrize("model", ["toy", "probe.p"])
@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (None, Priority.INTERACTIVE),
        (0, Priority.INTERACTIVE),
        (1, Priority.INTERACTIVE),
        (2, Priority.BULK),
        ("bulk", Priority.BULK),
        ("Interactive", Priority.INTERACTIVE),
    ],
)
async def test_a_priority_is_a_word_or_a_level(
    priority: Any, expected: Priority, model: str, inferring: Inferring, asked: Asked
) -> None:
    await _infer(inferring, model, parameters={} if priority is None else {"priority": priority})
    assert asked.given["priority"] is expected


@pytest.mark.parametrize("model", ["toy", "probe.p"])
async def test_the_earlier_of_deadline_and_timeout_holds(
    model: str, inferring: Inferring, asked: Asked
) -> None:
    later = monotonic() + 1000
    await _infer(inferring, model)
    assert not asked.given["deadline"]
    await _infer(inferring, model, deadline=later)
    assert asked.given["deadline"] == later
    for given in (None, later):
        before = monotonic()
        await _infer(inferring, model, deadline=given, parameters={"timeout": 2_000_000})
        assert before + 2 <= asked.given["deadline"] <= monotonic() + 2
    await _infer(inferring, model, deadline=later, parameters={"timeout": 10**12})
    assert asked.given["deadline"] == later


async def test_work_is_done_for_the_tenant_that_calls(inferring: Inferring, asked: Asked) -> None:
    await _infer(inferring)
    assert asked.given["tenant_id"] == "ours"
    assert asked.given["is_cached"]
    answer = await _infer(inferring, "probe.p")
    assert (asked.given["store"], asked.given["probe_id"]) == ("the store of ours", "p")
    assert (asked.given["version"], answer.model_version) == (0, "7")
    await _infer(inferring, "probe.p", model_version="3")
    assert asked.given["version"] == 3


@pytest.mark.parametrize(("dtype", "n_bytes"), [("FP32", 4), ("FP16", 2)])
async def test_room_for_an_answer_is_taken_before_its_codes_are_made(
    dtype: str, n_bytes: int, inferring: Inferring, asked: Asked
) -> None:
    last = BACKBONE.select(["-1"])[0]
    calls.begin(calls.Call("r", "/inference.GRPCInferenceService/ModelInfer", Principal("ours")))
    message = request(prepared(3), "toy", parameters={"pooling": "none", "dtype": dtype})
    async with Hand(asked.house, "ModelInfer"):
        await _send(inferring, message)
    assert asked.in_hand == 3 * last.channels * last.height * last.width * n_bytes
    assert asked.house.n_bytes == 0


@pytest.fixture
def page() -> Iterator[str]:
    """The key of shared memory of one page."""
    path = Path(f"/dev/shm/icecore-test-{os.getpid()}-most")
    with path.open("xb") as file:
        file.truncate(mmap.PAGESIZE)
    yield path.name
    path.unlink()


async def test_shared_memory_brings_no_more_than_a_message(inferring: Inferring, page: str) -> None:
    """Else a hundred callers could have the server hold a hundred times as much."""
    regions = inferring._sharing.regions("unix:")
    regions.register("ours", "r", page, offset=0, byte_size=mmap.PAGESIZE)
    sent = pb.ModelInferRequest(model_name="toy")
    tensor = sent.inputs.add(name="image", datatype="FP32", shape=[1, 3, 8, 8])
    tensor.parameters["shared_memory_region"].string_param = "r"
    calls.begin(calls.Call("r", "m", Principal("ours")))
    tensor.parameters["shared_memory_byte_size"].int64_param = 768
    assert (await _send(inferring, sent)).outputs
    tensor.parameters["shared_memory_byte_size"].int64_param = 1025
    with pytest.raises(MessageTooLarge, match="1,025 bytes in shared memory, but 1,024"):
        await _send(inferring, sent)
