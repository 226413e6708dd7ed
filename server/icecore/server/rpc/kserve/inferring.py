"""ModelInfer: a tensor in, codes or predictions out, by the same way as Embed and Predict."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from time import monotonic, perf_counter

import numpy as np

from icecore.kserve import open_inference as pb
from icecore.probes.errors import ProbesError
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import ImageInput
from icecore.server.errors import (
    FailedPrecondition,
    IcecoreError,
    InvalidArgument,
    MessageTooLarge,
    NotFound,
)
from icecore.server.rpc import answer_room, arguments
from icecore.server.rpc.by_name import with_backbone
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import in_thread
from icecore.server.rpc.kserve import asking, tensors
from icecore.server.rpc.kserve.answering import SMALL_BYTES, Answer, answer_to_message, predicted
from icecore.server.rpc.kserve.models import (
    BACKBONE_VERSION,
    Models,
    check_backbone_version,
    probe_of,
    probe_version,
)
from icecore.server.rpc.kserve.request import Request
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.rpc.kserve.statistics import Statistics
from icecore.server.storage.promise import Store
from icecore.server.training.predictor import Predictor


class Inferring:
    """Answers one request at a time; what it counts is in `statistics`."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        embedder: Embedder,
        predictor: Predictor,
        sharing: Sharing,
        *,
        max_bytes: int,
        is_caching: bool,
    ) -> None:
        """`max_bytes` bounds what one request brings in shared memory, as elsewhere a message."""
        self.is_caching = is_caching
        self._store = store
        self._catalog = catalog
        self._embedder = embedder
        self._predictor = predictor
        self._models = Models(store, catalog)
        self._sharing = sharing
        self._max_bytes = max_bytes
        self.statistics = Statistics(is_caching=is_caching)

    async def infer(self, asked: Request, *, peer: Callable[[], str]) -> pb.ModelInferResponse:
        """Return the answer to a request of the current call.

        Raises:
            The errors of `Embedder.embed` and `Predictor.predict`, those of `asking`,
            `tensors` and `regions`, and VersionNotFound.
        """
        began = perf_counter()
        request = asked.message
        name, tenant_id = request.model_name, current_call().tenant_id
        try:
            images = await self._images(asked, peer)
            answer = await self._answer(request, images)
            answered = perf_counter()
            response = await self._response(request, answer, peer)
        except (IcecoreError, ProbesError):
            await self._count_failure(request, perf_counter() - began)
            raise
        ended = perf_counter()
        self.statistics.succeeded(
            tenant_id,
            name,
            answer.version,
            n_images=len(images),
            timings=answer.timings,
            output_s=ended - answered,
            total_s=ended - began,
        )
        return response

    async def _images(self, asked: Request, peer: Callable[[], str]) -> list[ImageInput]:
        tensor = tensors.the_input(asked.message)
        place = asking.place_of_input(tensor)
        if place is None:
            return tensors.images_of(tensor, tensors.sent_with(asked.raw, tensor))
        stretch = self._sharing.regions(peer()).stretch(
            current_call().tenant_id,
            place.region,
            offset=place.offset,
            byte_size=place.byte_size,
        )
        with stretch as part:
            if part.byte_size > self._max_bytes:
                raise MessageTooLarge(
                    f"the input has {part.byte_size:,} bytes in shared memory, but "
                    f"{self._max_bytes:,} are the most: send fewer images in each"
                )
            raw = part.read() if part.byte_size <= SMALL_BYTES else await in_thread(part.read)
        return tensors.images_of(tensor, raw)

    async def _answer(self, request: pb.ModelInferRequest, images: Sequence[ImageInput]) -> Answer:
        probe_id = probe_of(request.model_name)
        how = asking.how(request, is_probe=probe_id is not None)
        deadline = current_call().deadline
        if how.timeout_s is not None:
            own = monotonic() + how.timeout_s
            deadline = own if deadline is None else min(own, deadline)
        if probe_id is None:
            return await self._codes(request, images, how, deadline)
        return await self._predictions(request, probe_id, images, how, deadline)

    async def _codes(
        self,
        request: pb.ModelInferRequest,
        images: Sequence[ImageInput],
        how: asking.How,
        deadline: float | None,
    ) -> Answer:
        name = arguments.named("backbone", request.model_name)
        check_backbone_version(name, request.model_version)

        async def embed(backbone: Backbone) -> Answer:
            outputs, dtype = asking.codes_outputs(request, backbone)
            taps = [output.tap for output in outputs if output.tap is not None]
            n_values = answer_room.values_at(backbone, taps)
            await answer_room.take(n_values, len(images), np.dtype(dtype))
            size = backbone.recipe.height, backbone.recipe.width
            embedded = await self._embedder.embed(
                backbone,
                taps,
                tensors.upright(images, size),
                dtype=dtype,
                tenant_id=current_call().tenant_id,
                priority=how.priority,
                deadline=deadline,
                is_cached=True,
            )
            return Answer(BACKBONE_VERSION, outputs, embedded.codes, embedded.timings)

        return await with_backbone(self._catalog, name, embed)

    async def _predictions(
        self,
        request: pb.ModelInferRequest,
        probe_id: str,
        images: Sequence[ImageInput],
        how: asking.How,
        deadline: float | None,
    ) -> Answer:
        outputs = asking.probe_outputs(request)
        version = probe_version(request.model_name, request.model_version)
        tenant = await asyncio.to_thread(self._store.tenant, current_call().tenant_id)
        found = await self._predictor.predict(
            tenant,
            probe_id,
            version,
            tensors.upright(images),
            priority=how.priority,
            deadline=deadline,
        )
        values = [predicted(found, output.name) for output in outputs]
        return Answer(found.version, outputs, values, found.timings)

    async def _response(
        self, request: pb.ModelInferRequest, answer: Answer, peer: Callable[[], str]
    ) -> pb.ModelInferResponse:
        with ExitStack() as stack:
            parts = [
                None
                if place is None
                else stack.enter_context(
                    self._sharing.regions(peer()).stretch(
                        current_call().tenant_id,
                        place.region,
                        offset=place.offset,
                        byte_size=place.byte_size,
                    )
                )
                for place in (output.place for output in answer.outputs)
            ]
            if answer.nbytes <= SMALL_BYTES:
                return answer_to_message(request, answer, parts)
            return await in_thread(partial(answer_to_message, request, answer, parts))

    async def _count_failure(self, request: pb.ModelInferRequest, seconds: float) -> None:
        """Count it if there is such a model."""
        tenant_id, name, version = (
            current_call().tenant_id,
            request.model_name,
            request.model_version,
        )
        known = self.statistics.version_known(tenant_id, name, version)
        if known is None:
            try:
                model = await asyncio.to_thread(self._models.find, tenant_id, name, version)
            except (InvalidArgument, NotFound, FailedPrecondition):
                return
            known = model.version
        self.statistics.failed(tenant_id, name, known, total_s=seconds)
