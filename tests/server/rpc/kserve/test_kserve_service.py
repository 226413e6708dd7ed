"""What the service says of itself, and which errors stay inside a stream."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from icecore.kserve import open_inference as pb
from icecore.server.errors import IcecoreError, Internal, LayerNotFound, Overloaded, StorageCorrupt
from icecore.server.rpc import calls
from icecore.server.rpc.kserve import descriptions
from icecore.server.rpc.kserve.inference_service import InferenceService
from icecore.server.rpc.kserve.models import Model
from icecore.server.rpc.kserve.request import Request
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.rpc.kserve.statistics import Statistics
from icecore.server.tenants import Principal
from toys import toy_backbone

CONTEXT: Any = SimpleNamespace(peer=lambda: "unix:")
MODEL = Model("toy", 1, (1,), toy_backbone())


class Failing:
    """Answers requests of no name, and fails those of another."""

    def __init__(self, error: IcecoreError | None = None) -> None:
        self.error = error
        self.statistics = Statistics(is_caching=True)
        self.is_caching = False

    async def infer(self, asked: Request, *, peer: Any) -> pb.ModelInferResponse:
        assert peer() == "unix:"
        request = asked.message
        if request.model_name and self.error is not None:
            raise self.error
        return pb.ModelInferResponse(id=request.id)


def _service(
    inferring: Failing | None = None, *, is_live: bool = True, is_ready: bool = True
) -> InferenceService:
    calls.begin(calls.Call("r", "m", Principal("t")))
    models: Any = SimpleNamespace(find=lambda *_: MODEL)
    anything: Any = inferring or Failing()
    sharing = Sharing(is_on=False, listens_to_others=False)
    return InferenceService(
        models, anything, sharing, is_live=lambda: is_live, is_ready=lambda: is_ready
    )


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("is_ready", [True, False])
async def test_live_and_ready_are_what_health_says(is_live: bool, is_ready: bool) -> None:
    service = _service(is_live=is_live, is_ready=is_ready)
    live = await service.ServerLive(pb.ServerLiveRequest(), CONTEXT)
    ready = await service.ServerReady(pb.ServerReadyRequest(), CONTEXT)
    model = await service.ModelReady(pb.ModelReadyRequest(name="toy"), CONTEXT)
    assert (live.live, ready.ready, model.ready) == (is_live, is_ready, is_ready)


@pytest.mark.parametrize("is_caching", [True, False])
async def test_a_response_cache_is_told_where_codes_are_kept(is_caching: bool) -> None:
    """perf_analyzer counts hits apart then."""
    assert descriptions.config(MODEL, is_caching=is_caching).response_cache.enable is is_caching
    inferring = Failing()
    inferring.is_caching = is_caching
    asked = pb.ModelConfigRequest(name="toy")
    told = await _service(inferring).ModelConfig(asked, CONTEXT)
    assert told.config.response_cache.enable is is_caching


async def _stream(service: InferenceService, *names: str) -> list[pb.ModelStreamInferResponse]:
    async def requests() -> AsyncIterator[Request]:
        for name in names:
            yield Request(pb.ModelInferRequest(model_name=name, id=f"id {name}"), ())

    return [one async for one in service.ModelStreamInfer(requests(), CONTEXT)]


@pytest.mark.parametrize(
    "error", [LayerNotFound("no such layer"), Overloaded("full", retry_after_s=1.0)]
)
async def test_what_is_the_callers_to_mend_is_told_in_the_stream(error: IcecoreError) -> None:
    first, second, third = await _stream(_service(Failing(error)), "", "bad", "")
    assert [first.error_message, second.error_message, third.error_message] == ["", str(error), ""]
    assert [one.infer_response.id for one in (first, second, third)] == ["id ", "id bad", "id "]
    reason = second.infer_response.parameters["reason"].string_param
    assert reason == error.reason


@pytest.mark.parametrize("error", [Internal("of ours"), StorageCorrupt("/secret/place")])
async def test_a_fault_of_ours_ends_the_stream_for_the_door_to_log(error: IcecoreError) -> None:
    with pytest.raises(type(error)):
        await _stream(_service(Failing(error)), "", "bad", "")
