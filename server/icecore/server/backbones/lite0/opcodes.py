"""A machine for pickle's opcodes that builds plain values and calls nothing.

Globals become the value Global, and calls the value Called: it imports no
module and runs no function, whatever a file says. It knows the opcodes that
torch's legacy archives use and refuses the others.

Source: Python's pickletools, which describes each opcode.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Global:
    """A name in a module; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Called:
    """A call that a file asked for, never made; `items` were set on its result."""

    function: Global
    arguments: tuple[object, ...]
    items: dict[object, object] = field(default_factory=dict)


class OpcodeRefused(ValueError):
    """A file has an opcode, a global or an order of them that is not admitted."""


def read_object(
    file: io.BytesIO,
    admitted: frozenset[Global],
    *,
    persistent: Callable[[object], object] | None = None,
) -> object:
    """Return the next pickled object of a file and leave the file behind it.

    Args:
        admitted: the globals that may be named.
        persistent: gives the value of a persistent id, or raises OpcodeRefused;
            without it none may be there.

    Raises:
        OpcodeRefused: an opcode or global that is not admitted, or a file cut short.
    """
    machine = _Machine(admitted, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.step(opcode.name, argument)
    except OpcodeRefused:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise OpcodeRefused(f"its opcodes are broken: {error}") from error
    return machine.result


_MARK = object()

_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE")
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    def __init__(
        self, admitted: frozenset[Global], persistent: Callable[[object], object] | None
    ) -> None:
        self._admitted = admitted
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self.result: object = None

    def step(self, opcode: str, argument: Any) -> None:
        """Do one opcode."""
        stack = self._stack
        if opcode in _PLAIN:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _TUPLES:
            n = _TUPLES[opcode]
            if len(stack) < n:
                raise OpcodeRefused("a tuple of more values than there are")
            stack[-n:] = [tuple(stack[-n:])]
        else:
            self._step_other(opcode, argument)

    def _step_other(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "PROTO":
                if argument != 2:
                    raise OpcodeRefused(f"protocol {argument!r}, but only 2 is read")
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE":
                values = self._since_mark()
                stack.append(tuple(values))
            case "APPENDS":
                values = self._since_mark()
                _typed(stack[-1], list).extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._since_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                self._global(argument)
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(Called(_typed(function, Global), _typed(arguments, tuple)))
            case "BUILD":
                # Attributes of a state dict (`_metadata`): read and left out.
                _typed(stack.pop(), dict)
                _typed(stack[-1], Called)
            case "BINPERSID":
                if self._persistent is None:
                    raise OpcodeRefused("a persistent id where none belongs")
                stack.append(self._persistent(stack.pop()))
            case "STOP":
                self.result = stack.pop()
                if stack:
                    raise OpcodeRefused(f"{len(stack)} values are left over")
            case _:
                raise OpcodeRefused(f"opcode {opcode!r} is not admitted")

    def _global(self, argument: str) -> None:
        # pickletools joins module and name by a space.
        module, _, name = argument.partition(" ")
        named = Global(module, name)
        if named not in self._admitted:
            raise OpcodeRefused(f"global '{named}' is not admitted")
        self._stack.append(named)

    def _since_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _set(self, flat: list[Any]) -> None:
        """Set items of the dict, or of the call's result, on top of the stack."""
        if len(flat) % 2:
            raise OpcodeRefused("a key without a value")
        target = self._stack[-1]
        items = target.items if isinstance(target, Called) else _typed(target, dict)
        items.update(zip(flat[::2], flat[1::2], strict=True))


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise OpcodeRefused(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value
