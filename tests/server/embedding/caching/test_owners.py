"""What is held with an array: the whole of what it is a view of, however it came to be one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.embedding.caching.owners import held_bytes, is_part
from icecore.server.embedding.images import Pixels, Prepared
from icecore.server.rpc import embed_reading
from icecore.server.rpc.kserve import tensors
from icecore.v1 import codes_pb2, common_pb2

MESSAGE = bytes(100_000)
Array = npt.NDArray[Any]

VIEWS: dict[str, Callable[[], Array]] = {
    "of bytes": lambda: np.frombuffer(MESSAGE, np.uint8, 360, 13).reshape(12, 10, 3),
    "of floats unaligned": lambda: np.frombuffer(MESSAGE, np.float32, 300, 37).reshape(3, 10, 10),
    "of a memoryview": lambda: np.frombuffer(memoryview(MESSAGE)[9:309], np.uint8),
    "of a view of a view": lambda: (
        np.frombuffer(memoryview(MESSAGE)[8:][:360], "u1").reshape(3, 12, 10).transpose(1, 2, 0)
    ),
    "of a bytearray": lambda: np.frombuffer(bytearray(MESSAGE), np.uint8, 360, 13),
    "of an array": lambda: np.zeros((100, 1000), np.uint8)[3, 5:200],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_holds_the_whole(name: str) -> None:
    view = VIEWS[name]()
    assert held_bytes(view) == len(MESSAGE)
    assert is_part(view)
    assert held_bytes(view.copy()) == view.nbytes
    assert not is_part(view.copy())


@pytest.mark.parametrize(("n_beside", "expected"), [(0, False), (4096 + 1000, False), (5097, True)])
def test_a_little_beside_the_array_is_not_much(n_beside: int, expected: bool) -> None:
    array = np.frombuffer(bytes(8000 + n_beside), np.uint8, 8000)
    assert is_part(array) == expected


class Unknown:
    """Memory of which nobody knows the size."""

    def __init__(self) -> None:
        self._array = np.zeros(10, np.uint8)
        self.__array_interface__ = self._array.__array_interface__


def test_an_owner_of_no_known_size_may_be_large() -> None:
    array = np.asarray(Unknown())
    assert held_bytes(array) is None
    assert is_part(array)


def request(n: int, size: int) -> codes_pb2.EmbedRequest:
    data = bytes(3 * size * size)
    tensor = common_pb2.Tensor(
        dtype=common_pb2.D_TYPE_UINT8, shape=(size, size, 3), data=data
    )  # fmt: skip
    return codes_pb2.EmbedRequest(images=[common_pb2.Image(tensor=tensor)] * n)


@pytest.mark.parametrize(("n", "expected"), [(1, False), (2, True)])
def test_only_what_came_with_others_is_part_of_a_message(n: int, expected: bool) -> None:
    """Both where the form of a message is new, and where it was seen before."""
    message = request(n, 224).SerializeToString()
    for _ in range(2):
        image = embed_reading.read(message).images()[0]
        assert isinstance(image, Pixels)
        assert held_bytes(image.array) == len(message)
        assert is_part(image.array) == expected


@pytest.mark.parametrize(("n", "expected"), [(1, False), (2, True)])
def test_so_it_is_with_raw_contents(n: int, expected: bool) -> None:
    tensor = tensors.Tensor(name="image", datatype="FP32", shape=(n, 3, 64, 64))
    message = bytes(100 + n * 3 * 64 * 64 * 4)
    image = tensors.images_of(tensor, memoryview(message)[100:])[0]
    assert isinstance(image, Prepared)
    assert held_bytes(image.array) == len(message)
    assert is_part(image.array) == expected
