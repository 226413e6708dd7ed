"""An advice on its way from the worker, as JSON and as values again."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from icecore.server.storage.records import ExampleRecord

if TYPE_CHECKING:  # scipy comes with it, which no start of a server is to wait for
    from icecore.probes.advising.advice import Advice

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Advised:
    """An advice, the images it is of, and JPEGs of those it shows, by row; "" of what is not."""

    collection_id: str
    kind: str
    seed: int
    n_labelled: int
    examples: Mapping[int, ExampleRecord]
    advice: "Advice"
    thumbnails: Mapping[int, bytes]
    n_images: int
    seconds: float


def from_json(kind: type[T], value: Any) -> T:
    """Return the dataclass of what `dataclasses.asdict` made of it, and JSON of that.

    For values of numbers, texts, enumerations, tuples and dataclasses.

    Raises:
        TypeError, ValueError: it is not of that kind.
    """
    return cast(T, _read(kind, value))


def _read(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{one.name: _read(hints[one.name], value[one.name]) for one in fields(kind)})
    if get_origin(kind) is tuple:
        inner, *rest = get_args(kind)
        if rest == [Ellipsis]:
            return tuple(_read(inner, one) for one in value)
        return tuple(_read(one, each) for one, each in zip((inner, *rest), value, strict=True))
    if isinstance(kind, UnionType):
        (inner,) = [one for one in get_args(kind) if one is not NoneType]
        return None if value is None else _read(inner, value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not {kind!r}")
    return value
