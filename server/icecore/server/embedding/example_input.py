"""An example as it comes in, and what its id, label and metadata may be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icecore.server.embedding.images import ImageInput
from icecore.server.errors import IdDuplicate, ImagesEmpty, MetadataInvalid, NameInvalid
from icecore.server.storage.records import Metadata, Scalar
from icecore.wire.names import MAX_EXAMPLE_ID_LENGTH, MAX_LABEL_LENGTH, check_text

MAX_KEYS: Final = 64
MAX_KEY_LENGTH: Final = 128
MAX_VALUE_LENGTH: Final = 4096


@dataclass(frozen=True, slots=True)
class ExampleInput:
    """`metadata` is flat: strings, finite numbers, booleans. `label` may be empty."""

    example_id: str
    label: str
    metadata: Mapping[str, object]
    image: ImageInput


def check_examples(examples: Sequence[ExampleInput]) -> list[Metadata]:
    """Return each example's metadata, numbers as floats, if all may be stored together.

    Raises:
        ImagesEmpty: there are none.
        NameInvalid: an id or label is empty, too long or not printable.
        MetadataInvalid: not flat, or too much.
        IdDuplicate: an id comes twice.
    """
    if not examples:
        raise ImagesEmpty("there are no examples; a batch needs at least one")
    first_at: dict[str, int] = {}
    checked = []
    for index, example in enumerate(examples):
        try:
            check_text("example's id", example.example_id, max_length=MAX_EXAMPLE_ID_LENGTH)
            check_text("label", example.label, max_length=MAX_LABEL_LENGTH, may_be_empty=True)
        except ValueError as error:
            raise NameInvalid(f"{error}, in example {index} of the batch") from error
        before = first_at.setdefault(example.example_id, index)
        if before != index:
            raise IdDuplicate(
                f"the id {example.example_id!r} comes twice in the batch: "
                f"examples {before} and {index}"
            )
        checked.append(_checked_metadata(example))
    return checked


def _checked_metadata(example: ExampleInput) -> Metadata:
    of = f"the metadata of example {example.example_id!r}"
    if len(example.metadata) > MAX_KEYS:
        raise MetadataInvalid(f"{of} has {len(example.metadata)} keys, but {MAX_KEYS} are the most")
    checked: dict[str, Scalar] = {}
    for key, value in example.metadata.items():
        try:
            check_text("metadata key", key, max_length=MAX_KEY_LENGTH)
        except ValueError as error:
            raise MetadataInvalid(f"{error}, in {of}") from error
        checked[key] = _checked_value(value, f"{of} at {key!r}")
    return checked


def _checked_value(value: object, where: str) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise MetadataInvalid(f"{where} is a number that is not finite")
        return number
    if isinstance(value, str):
        if len(value) > MAX_VALUE_LENGTH:
            raise MetadataInvalid(
                f"{where} has {len(value):,} characters, but {MAX_VALUE_LENGTH:,} are the most"
            )
        if any(c == "\0" or "\ud800" <= c < "\ue000" for c in value):
            raise MetadataInvalid(f"{where} has a NUL or half a surrogate pair")
        return value
    raise MetadataInvalid(
        f"{where} is a {type(value).__name__}, but must be a string, a finite number or a boolean"
    )
