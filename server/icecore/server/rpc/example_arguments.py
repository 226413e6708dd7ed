"""New examples as a request says them: labels, metadata, what to do with known ids."""

from collections.abc import Iterable

from google.protobuf import struct_pb2

from icecore.server.embedding.example_input import ExampleInput
from icecore.server.errors import InvalidArgument, MetadataInvalid
from icecore.server.rpc import inputs
from icecore.server.storage.records import OnDuplicate
from icecore.v1 import collection_pb2 as pb

_WHAT = pb.AddExamplesRequest
_ON_DUPLICATE = {
    _WHAT.ON_DUPLICATE_UNSPECIFIED: OnDuplicate.REFUSE,
    _WHAT.ON_DUPLICATE_REFUSE: OnDuplicate.REFUSE,
    _WHAT.ON_DUPLICATE_REPLACE: OnDuplicate.REPLACE,
    _WHAT.ON_DUPLICATE_SKIP: OnDuplicate.SKIP,
}


def on_duplicate(number: pb.AddExamplesRequest.OnDuplicate.ValueType) -> OnDuplicate:
    """Raises InvalidArgument."""
    if number not in _ON_DUPLICATE:
        known = ", ".join(f"{name} ({n})" for name, n in _WHAT.OnDuplicate.items() if n)
        raise InvalidArgument(f"on_duplicate {int(number)!r} is not known: {known}")
    return _ON_DUPLICATE[number]


def examples(sent: Iterable[pb.AddExamplesRequest.NewExample]) -> list[ExampleInput]:
    """Return the examples, images undecoded; ids and labels are checked by `Ingest`.

    Raises:
        MetadataInvalid: a value that is neither a string nor a number nor a boolean.
        ImageInvalid, TensorInvalid: as `inputs.images`.
    """
    return [
        ExampleInput(
            example_id=one.example.example_id,
            label=one.example.label,
            metadata=metadata(one.example.metadata, index),
            image=inputs.image(one.image, index),
        )
        for index, one in enumerate(sent)
    ]


def metadata(sent: struct_pb2.Struct, index: int) -> dict[str, str | float | bool]:
    """Raises MetadataInvalid."""
    return {key: _scalar(value, key, index) for key, value in sent.fields.items()}


def _scalar(value: struct_pb2.Value, key: str, index: int) -> str | float | bool:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            found = "an object"
        case "list_value":
            found = "a list"
        case _:
            found = "null"
    raise MetadataInvalid(
        f"metadata {key[:40]!r} of example {index} in the batch is {found}, but must be a string, "
        "a number or a boolean: metadata is flat"
    )
