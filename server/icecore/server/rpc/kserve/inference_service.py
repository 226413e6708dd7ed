"""inference.GRPCInferenceService: what tritonclient, perf_analyzer and grpcurl call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version as installed_version
from typing import Any, Final, TypeAlias

import grpc

from icecore.kserve import open_inference as pb
from icecore.probes.errors import ProbesError
from icecore.server.errors import (
    FailedPrecondition,
    IcecoreError,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.kserve import descriptions
from icecore.server.rpc.kserve.inferring import Inferring
from icecore.server.rpc.kserve.models import Listed, Model, Models
from icecore.server.rpc.kserve.request import Request
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.rpc.status import failure_of, is_told
from icecore.server.rpc.streams import in_order

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

SERVER_NAME: Final = "icecore"
EXTENSIONS: Final = ("model_repository", "model_configuration", "parameters", "statistics")
SHARED_MEMORY: Final = "system_shared_memory"


class InferenceService:
    """The protocol's methods by their names. Each works on the data of the tenant that calls."""

    def __init__(
        self,
        models: Models,
        inferring: Inferring,
        sharing: Sharing,
        *,
        is_live: Callable[[], bool],
        is_ready: Callable[[], bool],
    ) -> None:
        self._models = models
        self._inferring = inferring
        self._statistics = inferring.statistics
        self._sharing = sharing
        self._is_live = is_live
        self._is_ready = is_ready

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=self._is_live())

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._is_ready())

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        shared = (SHARED_MEMORY,) if self._sharing.is_on else ()
        return pb.ServerMetadataResponse(
            name=SERVER_NAME,
            version=installed_version("icecore"),
            extensions=(*EXTENSIONS, *shared),
        )

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Say whether there is such a model; that there is none is an answer, not an error."""
        try:
            await self._find(request.name, request.version)
        except (InvalidArgument, NotFound, FailedPrecondition):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._is_ready())

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        return descriptions.metadata(await self._find(request.name, request.version))

    async def ModelConfig(
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        model = await self._find(request.name, request.version)
        return pb.ModelConfigResponse(
            config=descriptions.config(model, is_caching=self._inferring.is_caching)
        )

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        """Tell the caller's own counts; "" is all models."""
        tenant_id = current_call().tenant_id
        if request.name:
            model = await self._find(request.name, request.version)
            found = [Listed(model.name, model.version)]
        else:
            found = await asyncio.to_thread(self._models.listed, tenant_id)
        return pb.ModelStatisticsResponse(
            model_stats=[
                self._statistics.message(tenant_id, one.name, one.version) for one in found
            ]
        )

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        found = await asyncio.to_thread(self._models.listed, current_call().tenant_id)
        make = pb.RepositoryIndexResponse.ModelIndex
        return pb.RepositoryIndexResponse(
            models=[make(name=one.name, version=str(one.version), state="READY") for one in found]
        )

    async def ModelInfer(self, request: Request, context: Context) -> pb.ModelInferResponse:
        return await self._inferring.infer(request, peer=context.peer)

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[Request], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Answer in the order sent; what was wrong with one request is told in its answer."""

        async def infer(request: Request) -> pb.ModelStreamInferResponse:
            try:
                answer = await self._inferring.infer(request, peer=context.peer)
            except (IcecoreError, ProbesError) as error:
                if not is_told(error):
                    raise
                return _failed(request.message, error)
            return pb.ModelStreamInferResponse(infer_response=answer)

        async for answer in in_order(request_iterator, infer):
            yield answer

    async def SystemSharedMemoryStatus(
        self, request: pb.SystemSharedMemoryStatusRequest, context: Context
    ) -> pb.SystemSharedMemoryStatusResponse:
        regions = self._sharing.regions(context.peer())
        response = pb.SystemSharedMemoryStatusResponse()
        for region in regions.listed(current_call().tenant_id, request.name):
            told = response.regions[region.name]
            told.name, told.key = region.name, region.key
            told.offset, told.byte_size = region.offset, region.byte_size
        return response

    async def SystemSharedMemoryRegister(
        self, request: pb.SystemSharedMemoryRegisterRequest, context: Context
    ) -> pb.SystemSharedMemoryRegisterResponse:
        self._sharing.regions(context.peer()).register(
            current_call().tenant_id,
            request.name,
            request.key,
            offset=request.offset,
            byte_size=request.byte_size,
        )
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        regions = self._sharing.regions(context.peer())
        regions.unregister(current_call().tenant_id, request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryStatus(
        self, request: pb.CudaSharedMemoryStatusRequest, context: Context
    ) -> pb.CudaSharedMemoryStatusResponse:
        raise Unimplemented("this server shares no memory of CUDA devices")

    async def CudaSharedMemoryRegister(
        self, request: pb.CudaSharedMemoryRegisterRequest, context: Context
    ) -> pb.CudaSharedMemoryRegisterResponse:
        raise Unimplemented("this server shares no memory of CUDA devices")

    async def CudaSharedMemoryUnregister(
        self, request: pb.CudaSharedMemoryUnregisterRequest, context: Context
    ) -> pb.CudaSharedMemoryUnregisterResponse:
        """Nothing is registered: all of it is easily given back, as tools ask at their end."""
        if request.name:
            raise Unimplemented("this server shares no memory of CUDA devices")
        return pb.CudaSharedMemoryUnregisterResponse()

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        raise Unimplemented("this server loads models by itself: add backbones by AddBackbone")

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        raise Unimplemented("this server unloads models by itself; RemoveBackbone takes one away")

    async def TraceSetting(
        self, request: pb.TraceSettingRequest, context: Context
    ) -> pb.TraceSettingResponse:
        raise Unimplemented("this server's traces are set when it starts")

    async def LogSettings(
        self, request: pb.LogSettingsRequest, context: Context
    ) -> pb.LogSettingsResponse:
        raise Unimplemented("this server's log is set when it starts")

    async def _find(self, name: str, version: str) -> Model:
        return await asyncio.to_thread(self._models.find, current_call().tenant_id, name, version)


def _failed(
    request: pb.ModelInferRequest, error: IcecoreError | ProbesError
) -> pb.ModelStreamInferResponse:
    """The sentence, and beside it the stable reason and the status a call would have ended with."""
    failure = failure_of(error, request_id=current_call().request_id)
    response = pb.ModelStreamInferResponse(error_message=failure.message)
    answer = response.infer_response
    answer.model_name, answer.model_version = request.model_name, request.model_version
    answer.id = request.id
    answer.parameters["reason"].string_param = failure.reason.value
    answer.parameters["status"].string_param = failure.code.name
    return response
