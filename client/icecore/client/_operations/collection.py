"""Operations of CollectionService, but for search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct

from icecore.client._operations.operation import (
    Operation,
    Page,
    nothing,
    request_id_or_new,
    time_of,
)
from icecore.client._operations.places import choice, image_message, text
from icecore.client.collection_values import (
    Added,
    Collection,
    Example,
    NewExample,
    OnDuplicate,
    Scalar,
)
from icecore.client.errors import InvalidArgument
from icecore.v1 import collection_pb2 as pb
from icecore.wire.reasons import Reason

SERVICE = "CollectionService"

_ON_DUPLICATE = {
    OnDuplicate.REFUSE: pb.AddExamplesRequest.ON_DUPLICATE_REFUSE,
    OnDuplicate.REPLACE: pb.AddExamplesRequest.ON_DUPLICATE_REPLACE,
    OnDuplicate.SKIP: pb.AddExamplesRequest.ON_DUPLICATE_SKIP,
}


def create_collection(
    collection_id: str, *, backbone: str, keep_images: bool, request_id: str | None
) -> Operation[Collection]:
    return Operation(
        SERVICE,
        "CreateCollection",
        pb.CreateCollectionRequest(
            request_id=request_id_or_new(request_id),
            collection_id=collection_id,
            backbone=backbone,
            keep_images=keep_images,
        ),
        pb.CreateCollectionResponse,
        lambda answer: collection_value(answer.collection),
    )


def collection(collection_id: str) -> Operation[Collection]:
    return Operation(
        SERVICE,
        "GetCollection",
        pb.GetCollectionRequest(collection_id=collection_id),
        pb.GetCollectionResponse,
        lambda answer: collection_value(answer.collection),
    )


def collections(page_token: str) -> Operation[Page[Collection]]:
    return Operation(
        SERVICE,
        "ListCollections",
        pb.ListCollectionsRequest(page_token=page_token),
        pb.ListCollectionsResponse,
        lambda answer: Page(
            [collection_value(message) for message in answer.collections], answer.next_page_token
        ),
    )


def delete_collection(collection_id: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "DeleteCollection",
        pb.DeleteCollectionRequest(
            request_id=request_id_or_new(request_id), collection_id=collection_id
        ),
        pb.DeleteCollectionResponse,
        nothing,
    )


@dataclass(frozen=True, slots=True)
class AddPlan:
    """Where examples go, checked before the first is read."""

    head: pb.AddExamplesRequest

    def batch(self, examples: Sequence[NewExample]) -> Operation[Added]:
        """Return one atomic batch with an id of its own; files are read here."""
        request = pb.AddExamplesRequest()
        request.CopyFrom(self.head)
        request.request_id = request_id_or_new(None)
        request.examples.extend(
            pb.AddExamplesRequest.NewExample(
                example=pb.Example(
                    example_id=text("the example's id", example.example_id),
                    label=text("the label", example.label),
                    metadata=_struct(example),
                ),
                image=image_message(example.image, f"the image of example {example.example_id!r}"),
            )
            for example in examples
        )
        return Operation(
            SERVICE,
            "AddExamples",
            request,
            pb.AddExamplesResponse,
            lambda answer: Added(answer.n_added, answer.n_replaced, answer.n_unchanged),
        )


def add_plan(collection_id: str, *, on_duplicate: OnDuplicate | str) -> AddPlan:
    wanted = choice("on_duplicate", OnDuplicate, on_duplicate)
    return AddPlan(
        pb.AddExamplesRequest(collection_id=collection_id, on_duplicate=_ON_DUPLICATE[wanted])
    )


def examples(
    collection_id: str, *, where: str, page_size: int, page_token: str
) -> Operation[Page[Example]]:
    return Operation(
        SERVICE,
        "ListExamples",
        pb.ListExamplesRequest(
            collection_id=collection_id, filter=where, page_size=page_size, page_token=page_token
        ),
        pb.ListExamplesResponse,
        lambda answer: Page(
            [example_value(item.example, item.image_sha256) for item in answer.examples],
            answer.next_page_token,
        ),
    )


def delete_examples(
    collection_id: str, example_ids: Sequence[str], *, request_id: str | None
) -> Operation[int]:
    if isinstance(example_ids, str):
        raise InvalidArgument(f"example_ids are one string {example_ids!r}, not a sequence of ids")
    return Operation(
        SERVICE,
        "DeleteExamples",
        pb.DeleteExamplesRequest(
            request_id=request_id_or_new(request_id),
            collection_id=collection_id,
            example_ids=example_ids,
        ),
        pb.DeleteExamplesResponse,
        lambda answer: int(answer.n_deleted),
    )


def collection_value(message: pb.Collection) -> Collection:
    return Collection(
        collection_id=message.collection_id,
        collection_name=message.collection_name,
        backbone=message.backbone,
        digest=message.digest,
        keep_images=message.keep_images,
        n_examples=message.n_examples,
        labels=dict(sorted(message.labels.items())),
        create_time=time_of(message.create_time),
    )


def example_value(message: pb.Example, image_sha256: str = "") -> Example:
    metadata: dict[str, Scalar] = {}
    for key, value in sorted(message.metadata.fields.items()):
        match value.WhichOneof("kind"):
            case "string_value":
                metadata[key] = value.string_value
            case "number_value":
                metadata[key] = value.number_value
            case "bool_value":
                metadata[key] = value.bool_value
    return Example(message.example_id, message.label, metadata, image_sha256)


def _struct(example: NewExample) -> Struct:
    metadata: Mapping[Any, Any] = example.metadata  # as callers without a type checker give it
    struct = Struct()
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float):
            raise InvalidArgument(
                f"metadata {key!r} of example {example.example_id!r} is {value!r}, but metadata is "
                "flat: text keys with text, numbers or booleans",
                reason=Reason.METADATA_INVALID,
            )
        struct.fields[key].Clear()
        if isinstance(value, bool):
            struct.fields[key].bool_value = value
        elif isinstance(value, str):
            struct.fields[key].string_value = value
        else:
            struct.fields[key].number_value = float(value)
    return struct
