"""The operation Search."""

from collections.abc import Sequence

from icecore.client._operations.collection import SERVICE, example_value
from icecore.client._operations.operation import Operation
from icecore.client._operations.places import (
    activation_message,
    choice,
    image_messages,
    layer_name,
    pooling_message,
)
from icecore.client.collection_values import Hit, Metric
from icecore.client.errors import InvalidArgument
from icecore.client.input_values import ImageInput, LayerSpec
from icecore.v1 import collection_pb2 as pb
from icecore.wire import messages
from icecore.wire.codes import Codes
from icecore.wire.reasons import Reason
from icecore.wire.taps import Activation, Pooling

_METRICS = {
    Metric.COSINE: pb.METRIC_COSINE,
    Metric.L2: pb.METRIC_L2,
    Metric.INNER_PRODUCT: pb.METRIC_INNER_PRODUCT,
}
_INT32 = range(-(1 << 31), 1 << 31)


def search(
    collection_id: str,
    *,
    images: Sequence[ImageInput] | None,
    example_ids: Sequence[str] | None,
    codes: Codes | None,
    k: int,
    layer: LayerSpec,
    activation: Activation | str,
    pooling: Pooling | str,
    metric: Metric | str,
    where: str,
) -> Operation[list[list[Hit]]]:
    given = [query is not None for query in (images, example_ids, codes)]
    if sum(given) != 1:
        raise InvalidArgument(
            f"a search takes one of images, example_ids and codes, but {sum(given)} are given"
        )
    if k not in _INT32:
        raise InvalidArgument(f"k is {k!r}, but must be 1 to 1,000", reason=Reason.K_INVALID)
    request = pb.SearchRequest(
        collection_id=collection_id,
        layer=layer_name(layer),
        activation=activation_message(activation),
        pooling=pooling_message(pooling),
        metric=_METRICS[choice("metric", Metric, metric)],
        k=k,
        filter=where,
    )
    if images is not None:
        request.images.images.extend(image_messages(images))
        request.images.SetInParent()
    elif example_ids is not None:
        if isinstance(example_ids, str):
            raise InvalidArgument(
                f"example_ids are one string {example_ids!r}, not a sequence of ids"
            )
        request.example_ids.example_ids.extend(example_ids)
        request.example_ids.SetInParent()
    elif codes is not None:
        request.codes.CopyFrom(messages.codes_to_message(codes))
    return Operation(
        SERVICE,
        "Search",
        request,
        pb.SearchResponse,
        lambda answer: [
            [Hit(example_value(hit.example), hit.score) for hit in result.hits]
            for result in answer.results
        ],
    )
