"""Parameters of requests, inputs and outputs as plain values."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from icecore.kserve import open_inference as pb
from icecore.server.embedding.embedder import Priority
from icecore.server.errors import (
    DTypeInvalid,
    InvalidArgument,
    PoolingInvalid,
    PriorityInvalid,
)
from icecore.wire.taps import GEM_P, Activation, Pooling, PoolingKind

Parameters: TypeAlias = Mapping[str, pb.InferParameter]
Value: TypeAlias = bool | int | str | float

T = TypeVar("T")

DTYPES: Final = {"FP32": "float32", "FP16": "float16"}

_SHOWN: Final = 40


def read(parameters: Parameters, known: frozenset[str], what: str) -> dict[str, Value]:
    """Return the values by name.

    Raises:
        InvalidArgument: a name that is not known here, or no value.
    """
    found: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if name not in known:
            raise InvalidArgument(
                f"{what} has the parameter {name[:_SHOWN]!r}, which is not known; there are "
                f"{', '.join(sorted(known))}"
            )
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidArgument(f"{what} has the parameter {name!r} without a value")
        found[name] = getattr(parameter, choice)
    return found


def pooling(values: Mapping[str, Value]) -> Pooling | None:
    """Return what `pooling` ("avg", "gem" ...) and `gem_p` say, None if they are not there.

    Raises:
        PoolingInvalid: another word, or an exponent out of range or not of GEM.
    """
    if "pooling" not in values and "gem_p" not in values:
        return None
    kind = _word(values.get("pooling", "gem"), "pooling", PoolingKind, PoolingInvalid)
    exponent = values.get("gem_p", GEM_P if kind is PoolingKind.GEM else 0.0)
    if isinstance(exponent, bool | str):
        raise PoolingInvalid(f"gem_p is {_shown(exponent)}, but must be a number")
    try:
        return Pooling(kind, float(exponent))
    except ValueError as error:
        raise PoolingInvalid(str(error)) from error


def activation(values: Mapping[str, Value]) -> Activation | None:
    """Return what `activation` says. Raises InvalidArgument."""
    if "activation" not in values:
        return None
    return _word(values["activation"], "activation", Activation, InvalidArgument)


def dtype(values: Mapping[str, Value]) -> str | None:
    """Return "float32" or "float16"; they go by the protocol's names too. Raises DTypeInvalid."""
    if "dtype" not in values:
        return None
    word = str(values["dtype"])
    if word not in DTYPES and word not in DTYPES.values():
        raise DTypeInvalid(f"dtype is {_shown(word)}, but must be one of {', '.join(DTYPES)}")
    return DTYPES.get(word, word)


def layer(values: Mapping[str, Value]) -> str | None:
    """Return the layer's depth or name as it was given; a depth may be a number.

    Raises:
        InvalidArgument: neither.
    """
    given = values.get("layer")
    if isinstance(given, bool | float):
        raise InvalidArgument(f"layer is {_shown(given)}, but must be a depth or a name")
    return None if given is None else str(given)


def priority(values: Mapping[str, Value]) -> Priority:
    """Return what `priority` says: a word, or a level as in Triton, 1 being the highest.

    Raises:
        PriorityInvalid: neither.
    """
    given = values.get("priority", 0)
    if isinstance(given, str):
        return _word(given, "priority", Priority, PriorityInvalid)
    if isinstance(given, bool | float) or given < 0:
        raise PriorityInvalid(f"priority is {_shown(given)}, but must be 'interactive' or 'bulk'")
    return Priority.INTERACTIVE if given <= 1 else Priority.BULK


def timeout_s(values: Mapping[str, Value]) -> float | None:
    """Return `timeout`, which is in microseconds, in seconds; 0 is none.

    Raises:
        InvalidArgument: no whole number.
    """
    given = values.get("timeout", 0)
    if isinstance(given, bool | str | float) or given < 0:
        raise InvalidArgument(f"timeout is {_shown(given)}, but must be a number of microseconds")
    return given / 1e6 if given else None


def flag(values: Mapping[str, Value], name: str) -> bool:
    """Return what a switch says, False where it is not there. Raises InvalidArgument."""
    given = values.get(name, False)
    if not isinstance(given, bool):
        raise InvalidArgument(f"{name} is {_shown(given)}, but must be true or false")
    return given


def size(values: Mapping[str, Value], name: str) -> int:
    """Return a number of bytes, 0 where it is not there. Raises InvalidArgument."""
    given = values.get(name, 0)
    if isinstance(given, bool | str | float) or given < 0:
        raise InvalidArgument(f"{name} is {_shown(given)}, but must be a number of bytes")
    return given


def _word(given: Value, name: str, words: Callable[[Any], T], kind: type[InvalidArgument]) -> T:
    try:
        return words(str(given).lower().replace("_", "-"))
    except ValueError as error:
        known = ", ".join(repr(one.value) for one in words)  # type: ignore[attr-defined]
        raise kind(f"{name} is {_shown(given)}, but must be one of {known}") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
