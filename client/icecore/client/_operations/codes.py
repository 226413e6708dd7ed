"""Operations of CodesService."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy.typing as npt

from icecore.client._operations.operation import Operation
from icecore.client._operations.places import (
    activation_message,
    image_messages,
    layer_names,
    pooling_message,
    priority_message,
)
from icecore.client.errors import InvalidArgument
from icecore.client.input_values import ImageInput, LayerSpec, Priority
from icecore.v1 import codes_pb2 as pb
from icecore.v1 import common_pb2
from icecore.wire import messages
from icecore.wire.codes import Codes
from icecore.wire.reasons import Reason
from icecore.wire.taps import Activation, Pooling

SERVICE = "CodesService"


@dataclass(frozen=True, slots=True)
class EmbedPlan:
    """What is asked of every image, checked before the first is read."""

    head: pb.EmbedRequest

    def embed(self, images: Sequence[ImageInput]) -> Operation[list[Codes]]:
        return self._operation("Embed", images)

    def embed_stream(self, images: Sequence[ImageInput]) -> Operation[list[Codes]]:
        return self._operation("EmbedStream", images)

    def embed_messages(self, messages: Iterable[common_pb2.Image]) -> Operation[list[Codes]]:
        """Return the call for images that are messages already."""
        return self._of_messages("Embed", messages)

    def _operation(self, method: str, images: Sequence[ImageInput]) -> Operation[list[Codes]]:
        return self._of_messages(method, image_messages(images))

    def _of_messages(
        self, method: str, images: Iterable[common_pb2.Image]
    ) -> Operation[list[Codes]]:
        request = pb.EmbedRequest()
        request.CopyFrom(self.head)
        request.images.extend(images)
        return Operation(
            SERVICE,
            method,
            request,
            pb.EmbedResponse,
            lambda answer: [messages.codes_from_message(message) for message in answer.codes],
        )


def embed_plan(
    *,
    backbone: str,
    layers: LayerSpec | Sequence[LayerSpec],
    activation: Activation | str,
    pooling: Pooling | str,
    dtype: npt.DTypeLike,
    priority: Priority | str = Priority.INTERACTIVE,
) -> EmbedPlan:
    return EmbedPlan(
        pb.EmbedRequest(
            backbone=backbone,
            layers=layer_names(layers),
            activation=activation_message(activation),
            pooling=pooling_message(pooling),
            dtype=_codes_dtype(dtype),
            priority=priority_message(priority),
        )
    )


def _codes_dtype(dtype: npt.DTypeLike) -> common_pb2.DType.ValueType:
    try:
        number = messages.dtype_to_message(dtype)
        messages.codes_dtype_from_message(number)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"dtype {dtype!r} is not known for codes: 'float32', 'float16'",
            reason=Reason.DTYPE_INVALID,
        ) from None
    return number
