"""The one input tensor of a request to images, and arrays to bytes.

A model takes one tensor, `image`, whose datatype says what is in it: FP32 what comes
after the recipe, UINT8 pixels, BYTES encoded files.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.kserve import open_inference as pb
from icecore.server.embedding.images import Encoded, ImageInput, Pixels, Prepared
from icecore.server.embedding.orders import CALL_LIMITS
from icecore.server.errors import ImagesEmpty, ImagesTooMany, InvalidArgument, TensorInvalid
from icecore.server.rpc.fields import BYTES, fields
from icecore.server.rpc.kserve.request import Buffer

Tensor: TypeAlias = pb.ModelInferRequest.InferInputTensor

INPUT: Final = "image"
MAX_IMAGES: Final = CALL_LIMITS.max_images
"""Of one request. Looked at here too, before a million values are made of one shape."""

_SHOWN_SIZES: Final = 8
"""More than any tensor here has."""

_FP32: Final = np.dtype("<f4")
_UINT8: Final = np.dtype("u1")
_LENGTH: Final = struct.Struct("<I")
_CONTENTS: Final = {"FP32": "fp32_contents", "UINT8": "uint_contents", "BYTES": "bytes_contents"}
_DATATYPES: Final = {
    np.dtype(np.float16): "FP16",
    np.dtype(np.float32): "FP32",
    np.dtype(np.float64): "FP64",
}
_TAKEN: Final = (
    "FP32 (n, 3, h, w) after the recipe, UINT8 pixels (n, h, w, 3) or (n, 3, h, w), or "
    "BYTES (n): JPEG, PNG or WebP files"
)


def the_input(request: pb.ModelInferRequest) -> Tensor:
    """Return the request's input tensor, of whose values nothing is known yet.

    Raises:
        InvalidArgument: none, several, or one of another name.
        TensorInvalid: a datatype or a number of dimensions that is not taken.
        ImagesEmpty, ImagesTooMany: by its shape.
    """
    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        names = ", ".join(repr(one.name[:40]) for one in request.inputs[:8]) or "none"
        raise InvalidArgument(
            f"the inputs are {names}, but a model here takes one, {INPUT!r}: {_TAKEN}"
        )
    tensor = request.inputs[0]
    shape = tuple(tensor.shape[:_SHOWN_SIZES])  # there may be millions
    is_encoded = tensor.datatype == "BYTES"
    fits = shape[1:] in ((), (1,)) and len(shape) > 0 if is_encoded else len(shape) == 4
    if tensor.datatype not in _CONTENTS or not fits:
        raise TensorInvalid(
            f"input {INPUT!r} is {tensor.datatype[:20] or 'of no datatype'} of shape "
            f"{shape!r}, but must be {_TAKEN}"
        )
    if shape[0] == 0:
        raise ImagesEmpty("there are no images; at least one is needed")
    if any(size <= 0 for size in shape):
        raise TensorInvalid(f"input {INPUT!r} has shape {shape!r}, but sizes count from 1")
    if shape[0] > MAX_IMAGES:
        raise ImagesTooMany(f"there are {shape[0]:,} images, but {MAX_IMAGES:,} are the most")
    return tensor


def sent_with(raw: Sequence[Buffer], tensor: Tensor) -> Buffer | None:
    """Return the tensor's bytes of a request's raw contents, None where it has contents of its own.

    Raises:
        InvalidArgument: both, or neither.
    """
    if tensor.HasField("contents"):
        if raw:
            raise InvalidArgument(
                f"input {INPUT!r} has both contents and raw_input_contents; one of them is enough"
            )
        return None
    if len(raw) != 1:
        raise InvalidArgument(
            f"there are {len(raw)} raw_input_contents, but input {INPUT!r} needs one: "
            "its values, unless they are in its contents or in shared memory"
        )
    return raw[0]


def images_of(tensor: Tensor, raw: Buffer | None) -> list[ImageInput]:
    """Return the images of a tensor that `the_input` gave; `raw` None: they are its contents.

    Arrays are views of `raw`. Whether the sizes fit the network is for the embedder to say.

    Raises:
        TensorInvalid: values that do not fill the shape, or of another datatype.
    """
    shape = tuple(tensor.shape)
    if tensor.datatype == "BYTES":
        files = _typed(tensor) if raw is None else _files(raw, shape[0])
        return [Encoded(bytes(file)) for file in files]
    array = _array(tensor, shape) if raw is None else _over(raw, tensor.datatype, shape)
    kind = Pixels if array.dtype == _UINT8 else Prepared
    return [kind(one) for one in array]


def upright(
    images: Sequence[ImageInput], size: tuple[int, int] | None = None
) -> Sequence[ImageInput]:
    """Return the images with pixels (3, h, w) as (h, w, 3), but for those of `size`.

    Of the network's own height and width they are taken as they are, which saves a copy.
    Where both could be meant, they are (h, w, 3) already.
    """
    first = images[0]
    if not isinstance(first, Pixels) or first.array.shape[1:] == size:
        return images
    if first.array.shape[0] != 3 or first.array.shape[2] == 3:
        return images
    return [Pixels(one.array.transpose(1, 2, 0)) for one in images if isinstance(one, Pixels)]


def datatype_of(values: npt.NDArray[Any]) -> str:
    """Return the protocol's name of float16, float32 or float64."""
    return _DATATYPES[values.dtype]


def raw_of(values: npt.NDArray[Any]) -> bytes:
    """Return the values row by row, little-endian."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def raw_texts(texts: Iterable[str]) -> bytes:
    """Return each text as UTF-8 behind its length, as BYTES tensors are."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(_LENGTH.pack(len(one)) + one for one in encoded)


def _over(raw: Buffer, datatype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    dtype = _FP32 if datatype == "FP32" else _UINT8
    # Python's integers, since the product of a hostile shape overflows numpy's.
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise TensorInvalid(
            f"input {INPUT!r} has {len(raw)} bytes, but shape {shape!r} of {datatype} "
            f"needs {wanted}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _files(raw: Buffer, n: int) -> list[Buffer]:
    """Take apart elements that each have their length in four bytes in front."""
    files: list[Buffer] = []
    place = 0
    for _ in range(n):
        if place + _LENGTH.size > len(raw):
            break
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        files.append(raw[place : place + length])
        place += length
    if len(files) != n or place != len(raw):
        raise TensorInvalid(
            f"input {INPUT!r} has {len(raw)} bytes, which are not {n} elements of BYTES, each "
            "behind its length in four bytes (little-endian)"
        )
    return files


def _typed(tensor: Tensor) -> Sequence[Any]:
    """The values of `contents`, as many as the shape has."""
    wanted = _CONTENTS[tensor.datatype]
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    if filled not in ([], [wanted]):
        raise TensorInvalid(
            f"input {INPUT!r} is {tensor.datatype}, so its contents are {wanted}, not "
            f"{', '.join(filled)}"
        )
    values: Sequence[Any] = getattr(tensor.contents, wanted)
    if len(values) != math.prod(tensor.shape):
        raise TensorInvalid(
            f"input {INPUT!r} has {len(values)} values, but shape {tuple(tensor.shape)!r} "
            f"needs {math.prod(tensor.shape)}"
        )
    return values


def _array(tensor: Tensor, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    values = _typed(tensor)
    packed = np.frombuffer(_packed(tensor.contents, _CONTENTS[tensor.datatype]), _UINT8)
    if tensor.datatype == "FP32":
        return packed.view(_FP32).reshape(shape)
    # Up to 127 a value is one byte, up to 255 the same byte and a 1 behind it.
    is_second = np.concatenate(([False], packed[:-1] >= 0x80))
    is_larger = is_second & (packed != 1)
    if is_larger.any():
        place = int(np.count_nonzero(packed[: is_larger.argmax()] < 0x80))
        raise TensorInvalid(f"input {INPUT!r} is UINT8, but has the value {values[place]}")
    return packed[~is_second].reshape(shape)


def _packed(contents: pb.InferTensorContents, field: str) -> memoryview:
    """Return numbers as protobuf writes them; as Python's own they take forty times as long."""
    data = contents.SerializeToString()
    wanted = contents.DESCRIPTOR.fields_by_name[field].number
    return next(
        memoryview(data)[first:end]
        for number, kind, _, first, end in fields(data, 0, len(data), most=len(data))
        if number == wanted and kind == BYTES
    )
