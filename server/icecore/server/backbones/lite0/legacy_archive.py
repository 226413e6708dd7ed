"""Reading torch's legacy archive (before 1.6) as plain arrays, without torch and without pickle.

Such a file is four pickles (a magic number, a version, the writer's system, the
state dict), a fifth with the keys of the storages, and their raw values. This
reads it with an own small machine of opcodes that never calls or imports what
a file names; what is not admitted is refused.

Source: torch/serialization.py (_legacy_load).
"""

import hashlib
import io
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.lite0.opcodes import Called, Global, OpcodeRefused, read_object

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

_ORDERED_DICT = Global("collections", "OrderedDict")
_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_STORAGES: dict[Global, np.dtype[Any]] = {
    Global("torch", "FloatStorage"): np.dtype("<f4"),
    Global("torch", "LongStorage"): np.dtype("<i8"),
}
ADMITTED = frozenset({_ORDERED_DICT, _REBUILD, *_STORAGES})
"""All that a file may name: what a state dict of float and integer tensors takes."""


class ArchiveInvalid(ValueError):
    """Not the archive that was expected, or one with something in it that is not admitted."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """What a storage holds, and how many of it."""

    dtype: np.dtype[Any]
    size: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies: a view of one storage, in elements."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_legacy_archive(data: bytes, *, sha256: str) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a state dict by name, float32 or int64, in the file's order.

    Args:
        data: the whole file.
        sha256: what its SHA-256 must be, checked before anything is read.

    Raises:
        ArchiveInvalid: another digest, another format, a global that is not
            admitted, a file cut short or with bytes left over.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ArchiveInvalid(f"the archive's SHA-256 is {found!r}, but must be {sha256!r}")
    file = io.BytesIO(data)
    try:
        return _read(file)
    except OpcodeRefused as error:
        raise ArchiveInvalid(f"the archive is not a plain state dict: {error}") from error


def _read(file: io.BytesIO) -> dict[str, npt.NDArray[Any]]:
    for what, wanted in (("magic number", _MAGIC), ("version", _VERSION)):
        value = read_object(file, frozenset())
        if value != wanted:
            raise ArchiveInvalid(f"the archive's {what} is {value!r:.80}, but must be {wanted!r}")
    system = read_object(file, frozenset())
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ArchiveInvalid("the archive was not written little-endian")
    storages: dict[str, _Storage] = {}
    entries = read_object(file, ADMITTED, persistent=lambda pid: _storage(pid, storages))
    tensors = _tensors(entries)
    values = _values(file, storages)
    return {name: _view(name, tensor, values) for name, tensor in tensors.items()}


def _storage(pid: object, storages: dict[str, _Storage]) -> str:
    """Note a storage that the state dict refers to; return its key."""
    match pid:
        case ("storage", Global() as kind, str(key), str(), int(size), None) if (
            kind in _STORAGES and size >= 0
        ):
            storage = _Storage(_STORAGES[kind], int(size))
            if storages.setdefault(key, storage) == storage:
                return key
    raise OpcodeRefused(f"it refers to a storage by {pid!r:.120}")


def _tensors(entries: object) -> dict[str, _Tensor]:
    if not isinstance(entries, Called) or (entries.function, entries.arguments) != (
        _ORDERED_DICT,
        (),
    ):
        raise ArchiveInvalid("the archive does not hold an OrderedDict")
    tensors: dict[str, _Tensor] = {}
    for name, value in entries.items.items():
        match value:
            case Called(
                function=function,
                arguments=(str(key), int(offset), tuple(shape), tuple(strides), False, Called()),
            ) if (
                isinstance(name, str)
                and function == _REBUILD
                and len(shape) == len(strides)
                and all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *strides))
            ):
                tensors[name] = _Tensor(key, offset, shape, strides)
            case _:
                raise ArchiveInvalid(f"the archive's entry {name!r:.80} is not a plain tensor")
    return tensors


def _values(file: io.BytesIO, storages: dict[str, _Storage]) -> dict[str, npt.NDArray[Any]]:
    """The storages' raw values, in the order of the list that comes before them."""
    keys = read_object(file, frozenset())
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ArchiveInvalid("the archive's list of storages is not what its tensors refer to")
    values: dict[str, npt.NDArray[Any]] = {}
    for key in keys:
        dtype, size = storages[key].dtype, storages[key].size
        head = file.read(8)
        if len(head) < 8 or struct.unpack("<q", head)[0] != size:
            raise ArchiveInvalid(f"the archive's storage {key!r} does not have {size} values")
        raw = file.read(size * dtype.itemsize)
        if len(raw) < size * dtype.itemsize:
            raise ArchiveInvalid(f"the archive ends inside of storage {key!r}")
        values[key] = np.frombuffer(raw, dtype)
    if file.read(1):
        raise ArchiveInvalid("the archive goes on after its last storage")
    return values


def _view(name: str, tensor: _Tensor, values: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """A copy of the tensor, C-contiguous; torch keeps some of them transposed."""
    storage = values[tensor.key]
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * stride for n, stride in steps)
    if 0 in tensor.shape or last >= len(storage):
        raise ArchiveInvalid(f"the archive's tensor {name!r} does not lie inside of its storage")
    if prod(tensor.shape) > len(storage):
        raise ArchiveInvalid(f"the archive's tensor {name!r} has values twice")
    strides = tuple(stride * storage.itemsize for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides)
    return np.array(view, order="C")
