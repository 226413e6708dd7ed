"""The operations Predict and PredictStream."""

from collections.abc import Callable, Sequence
from typing import Literal

from icecore.client._operations.operation import Operation
from icecore.client._operations.places import image_messages, priority_message
from icecore.client._operations.probe import SERVICE
from icecore.client.errors import InvalidArgument
from icecore.client.input_values import ImageInput, Priority
from icecore.client.probe_values import Prediction
from icecore.v1 import probe_pb2 as pb
from icecore.wire import messages
from icecore.wire.codes import Codes


def predict(
    probe_id: str,
    images: Sequence[ImageInput] | None,
    *,
    codes: Codes | None,
    version: int,
    priority: Priority | str = Priority.INTERACTIVE,
    method: Literal["Predict", "PredictStream"] = "Predict",
) -> Operation[list[Prediction]]:
    if (images is None) == (codes is None):
        given = "neither is" if images is None else "both are"
        raise InvalidArgument(f"a prediction takes images or codes, but {given} given")
    if not 0 <= version < 1 << 32:
        raise InvalidArgument(f"version is {version!r}, but versions count from 1")
    request = pb.PredictRequest(
        probe_id=probe_id, version=version, priority=priority_message(priority)
    )
    if images is not None:
        request.images.images.extend(image_messages(images))
        request.images.SetInParent()
    elif codes is not None:
        request.codes.CopyFrom(messages.codes_to_message(codes))
    return Operation(SERVICE, method, request, pb.PredictResponse, _predictions)


def predict_plan(
    probe_id: str, version: int, priority: Priority | str
) -> Callable[[Sequence[ImageInput]], Operation[list[Prediction]]]:
    """Return what makes one batch of a stream."""

    def batch(images: Sequence[ImageInput]) -> Operation[list[Prediction]]:
        return predict(
            probe_id,
            images,
            codes=None,
            version=version,
            priority=priority,
            method="PredictStream",
        )

    return batch


def _predictions(answer: pb.PredictResponse) -> list[Prediction]:
    tap = messages.tap_from_message(answer.tap) if answer.HasField("tap") else None
    joined_taps = tuple(map(messages.tap_from_message, answer.joined_taps))
    classes = tuple(answer.classes)
    return [
        Prediction(
            label=message.label,
            probability=message.probability if message.HasField("probability") else None,
            scores=dict(zip(classes, message.scores, strict=True)),
            version=answer.version,
            tap=tap,
            joined_taps=joined_taps,
        )
        for message in answer.predictions
    ]
