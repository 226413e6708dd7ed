"""Files of codes come back as they went in, under the names that scripts depend on."""

import json
import os
import random
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from icecore.cli.codes_files import frames as frame_files
from icecore.cli.codes_files import npz, rows
from icecore.cli.codes_files.part_file import MAGIC, FileState, PartFile, part_path
from icecore.cli.codes_files.rows import Rows
from icecore.cli.codes_files.writing import KINDS, require_writable, write_whole
from icecore.cli.mistakes import Mistake
from icecore.client import Codes, Pooling, PoolingKind, TapId
from icecore.wire.codes import CodeArray

ASKED = {"digest": "0" * 64, "layers": ["17"]}
NAMES = ["a.jpg", "蚂蚁/b.jpg", "c.jpg"]


def codes(layer: str, *, n: int = 3, dtype: type = np.float32, whole: bool = False) -> Codes:
    shape = (n, 4, 2, 2) if whole else (n, 4)
    pooling = Pooling(PoolingKind.NONE) if whole else Pooling()
    values: CodeArray = np.random.default_rng(len(layer)).random(shape).astype(dtype)
    return Codes(values, TapId(digest="0" * 64, layer=layer, pooling=pooling))


def states(names: Sequence[str], mtime_ns: int = 7) -> list[FileState]:
    return [FileState(str(Path(name).absolute()), 10, mtime_ns) for name in names]


def written(out: Path, names: Sequence[str], found: Sequence[Codes]) -> Path:
    """Write codes as the command does, through a part file."""
    with PartFile(part_path(out), ASKED) as part:
        part.append(states(names), found)
        write_whole(out, Rows(part, [Path(name) for name in names]))
        part.remove()
    return out


def read_arrow(out: Path) -> Any:
    if out.suffix == ".parquet":
        return pq.read_table(out)
    with pa.memory_map(str(out)) as source:
        return pa.ipc.open_file(source).read_all()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_one_layer_is_called_codes(tmp_path: Path, dtype: type, whole: bool) -> None:
    found = codes("head", dtype=dtype, whole=whole)
    out = written(tmp_path / "x.npz", NAMES, [found])
    with np.load(out, allow_pickle=False) as file:
        assert set(file) == {"paths", "codes"}
        assert file["paths"].tolist() == NAMES
        assert file["codes"].dtype == dtype
        assert np.array_equal(file["codes"], found.values)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_arrow_has_a_column_a_layer_and_its_tap(
    tmp_path: Path, suffix: str, dtype: type, whole: bool
) -> None:
    found = [codes("blocks/5:0", dtype=dtype, whole=whole), codes("head", dtype=dtype)]
    table = read_arrow(written(tmp_path / f"x{suffix}", NAMES, found))
    assert table.column_names == ["paths", "blocks/5:0", "head"]
    assert table["paths"].to_pylist() == NAMES
    for one in found:
        column = table[one.tap.layer].combine_chunks()
        assert pa.types.is_fixed_size_list(column.type)
        values = column.flatten().to_numpy().reshape(one.values.shape)
        assert values.dtype == dtype
        assert np.array_equal(values, one.values)
        metadata = table.schema.metadata
        name = one.tap.layer.encode()
        assert TapId.from_json(metadata[b"icecore.tap." + name].decode()) == one.tap
        assert json.loads(metadata[b"icecore.shape." + name]) == list(one.values.shape[1:])


def test_several_layers_have_their_names_whatever_these_are(tmp_path: Path) -> None:
    found = [codes(name) for name in ("file", "allow_pickle", "blocks/5/expand:0", "x.npy")]
    with np.load(written(tmp_path / "x.npz", NAMES, found), allow_pickle=False) as file:
        for one in found:
            assert np.array_equal(file[one.tap.layer], one.values), one.tap.layer


@pytest.mark.parametrize("suffix", KINDS)
def test_a_layer_asked_for_twice_is_there_once(tmp_path: Path, suffix: str) -> None:
    head, body = codes("head"), codes("body")
    out = written(tmp_path / f"x{suffix}", NAMES, [head, body, head])
    if suffix == ".npz":
        with zipfile.ZipFile(out) as archive:
            assert archive.namelist() == ["paths.npy", "head.npy", "body.npy"]
    else:
        table = read_arrow(out)
        assert table.column_names == ["paths", "head", "body"]
        assert np.array_equal(table["body"].combine_chunks().flatten(), body.values.reshape(-1))


def test_a_layer_called_as_the_paths_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="a layer is called 'paths'"):
        written(tmp_path / "x.npz", NAMES, [codes("paths"), codes("head")])
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_rows_stand_in_the_order_of_the_paths_whatever_order_they_came_in(
    tmp_path: Path, suffix: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many chunks, with files that were asked for twice, and some done again."""
    monkeypatch.setattr(rows, "CHUNK_BYTES", 100)
    dice = random.Random(seed)
    names = [f"{place}.jpg" for place in range(50)]
    came = dice.sample(names, len(names)) + dice.sample(names, 10)
    values = {name: dice.random() for name in names}
    out = tmp_path / f"x{suffix}"
    tap = TapId(digest="0" * 64, layer="y")
    with PartFile(part_path(out), ASKED) as part:
        for turn, start in enumerate(range(0, len(came), 7)):
            batch = came[start : start + 7]
            if turn > 5:
                values |= {name: dice.random() for name in batch}
            array = np.array([[values[name], turn] for name in batch], np.float32)
            part.append(states(batch, mtime_ns=turn), [Codes(array, tap)])
        wanted = dice.choices(names, k=80)
        write_whole(out, Rows(part, [Path(name) for name in wanted]))
    if suffix == ".npz":
        with np.load(out) as file:
            paths, found = file["paths"].tolist(), file["codes"]
    else:
        table = read_arrow(out)
        paths = table["paths"].to_pylist()
        found = table["codes"].combine_chunks().flatten().to_numpy().reshape(-1, 2)
    assert paths == wanted
    assert found[:, 0].tolist() == [np.float32(values[name]) for name in wanted]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = written(tmp_path / "x.npz", NAMES, [codes("head")])
    before = out.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npz, "_put", full)
    with pytest.raises(OSError, match="No space left"):
        written(out, NAMES, [codes("other")])
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.npz", ".x.npz.part"}


def test_what_cannot_be_written_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path(os.fsdecode(b"\xff.jpg"))
    require_writable(tmp_path / "x.npz", [odd])
    with pytest.raises(Mistake, match="is not UTF-8"):
        require_writable(tmp_path / "x.parquet", [odd])
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(Mistake, match="is a folder"):
        require_writable(tmp_path / "d.npz", [])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Mistake, match=r"pip install 'icecore\[arrow\]'"):
        require_writable(tmp_path / "x.arrow", [])


def frames(part: Path) -> list[bytes]:
    """States of a part file that a kill may leave: cut anywhere."""
    data = part.read_bytes()
    return [data[:end] for end in range(0, len(data) + 1, 5)]


def test_a_part_cut_anywhere_keeps_the_batches_before(tmp_path: Path) -> None:
    path = tmp_path / "p"
    batches = [states([f"{turn}{place}" for place in range(2)]) for turn in range(3)]
    whole = codes("y", n=6)
    ends = []
    with PartFile(path, ASKED) as part:
        for turn, batch in enumerate(batches):
            part.append(batch, [whole[2 * turn : 2 * turn + 2]])
            ends.append(path.stat().st_size)
    for data in frames(path):
        path.write_bytes(data)
        n_whole = sum(end <= len(data) for end in ends)
        with PartFile(path, ASKED) as part:
            assert [one in part for batch in batches for one in batch] == (
                [True] * 2 * n_whole + [False] * (6 - 2 * n_whole)
            )
            # And it goes on from there.
            for turn in range(n_whole, 3):
                part.append(batches[turn], [whole[2 * turn : 2 * turn + 2]])
        with PartFile(path, ASKED) as part:
            names = [one.path for batch in batches for one in batch]
            assert np.array_equal(part.values(0, names), whole.values)


def test_what_a_power_cut_leaves_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was synced is whole; of what came after any blocks may be zeros, to its full length."""
    path, copy = tmp_path / "p", tmp_path / "copy"
    whole = codes("y", n=6)
    files = states([f"{place}" for place in range(6)])
    synced: list[int] = []
    sync = os.fsync

    def sync_and_count(file: int) -> None:
        sync(file)
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            synced.append(path.stat().st_size)

    monkeypatch.setattr(os, "fsync", sync_and_count)
    ends = []
    with PartFile(path, ASKED) as part:
        assert synced[-1] == path.stat().st_size > len(MAGIC), "what was asked is on the disk"
        for place, file in enumerate(files):
            monkeypatch.setattr(frame_files, "SYNC_EVERY_S", 0.0 if place == 3 else 1e9)
            part.append([file], [whole[place : place + 1]])
            ends.append(path.stat().st_size)
    assert synced[-1] == ends[3], "a batch's end, and no other: a disk is slow"
    monkeypatch.setattr(os, "fsync", sync)
    data = path.read_bytes()
    for start in range(ends[3], len(data), 7):
        for end in range(start + 7, len(data) + 7, 14):
            zeros = b"\0" * (min(end, len(data)) - start)
            copy.write_bytes(data[:start] + zeros + data[start + len(zeros) :])
            with PartFile(copy, ASKED) as part:
                n = len(part)
                assert 4 <= n == sum(one <= start for one in ends)
                names = [one.path for one in files[:n]]
                assert np.array_equal(part.values(0, names), whole.values[:n])
    for start in range(len(MAGIC) + 1):
        copy.write_bytes(MAGIC[:start] + b"\0" * 100)
        with PartFile(copy, ASKED) as part:
            assert len(part) == 0, "nothing was there yet"


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_loses_batches_but_never_gives_wrong_codes(tmp_path: Path, seed: int) -> None:
    path, dice = tmp_path / "p", random.Random(seed)
    whole = codes("y", n=40)
    files = states([f"{place}" for place in range(40)])
    with PartFile(path, ASKED) as part:
        for start in range(0, 40, 4):
            part.append(files[start : start + 4], [whole[start : start + 4]])
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(MAGIC) + 120, len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    with PartFile(path, ASKED) as part:
        there = [place for place, file in enumerate(files) if file in part]
        assert there == list(range(len(there)))
        assert len(there) < 40
        if there:
            values = part.values(0, [files[place].path for place in there])
            assert np.array_equal(values, whole.values[: len(there)])


def test_a_changed_file_is_not_done(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(b"one")
    before = FileState.of(file)
    with PartFile(tmp_path / "p", ASKED) as part:
        part.append([before], [codes("y", n=1)])
        assert FileState.of(file) in part
        os.utime(file, ns=(before.mtime_ns, before.mtime_ns + 1))
        assert FileState.of(file) not in part
        file.write_bytes(b"longer")
        os.utime(file, ns=(before.mtime_ns, before.mtime_ns))
        assert FileState.of(file) not in part


def test_a_part_of_another_request_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "p"
    with PartFile(path, ASKED) as part:
        part.append(states(NAMES), [codes("y")])
    with pytest.raises(Mistake, match=r"layers \['17'\], now \['-1'\]\): --restart begins anew"):
        PartFile(path, {**ASKED, "layers": ["-1"]})
    with PartFile(path, ASKED) as part:
        assert len(part) == 3, "it is left as it was"
        with pytest.raises(Mistake, match="do not go with those of"):
            part.append(states(["d"]), [codes("other", n=1)])
    with PartFile(path, {**ASKED, "layers": ["-1"]}, restart=True) as part:
        assert len(part) == 0


def test_a_part_without_codes_is_taken_away_and_refuses_nobody(tmp_path: Path) -> None:
    """A kill may leave one: empty, with what was asked, or with what the codes are as well."""
    path = tmp_path / "p"
    with PartFile(path, ASKED):
        assert path.exists()
    assert not path.exists()
    with PartFile(path, ASKED) as part:
        part.append(states(NAMES), [codes("y")])
        whole = path.read_bytes()
    first = whole.index(b'{"files"')
    for end in range(0, first, 3):
        path.write_bytes(whole[:end])
        with PartFile(path, {**ASKED, "layers": ["-1"]}) as part:
            assert (len(part), part.columns) == (0, ())
            part.append(states(["d"]), [codes("other", n=1)])
            assert part.columns[0].tap.layer == "other"


def test_what_is_no_part_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"somebody's own notes, kept under this name")
    with pytest.raises(Mistake, match="is in the way"):
        PartFile(path, ASKED)
    assert path.read_bytes().startswith(b"somebody")


def test_two_commands_do_not_write_the_same_part(tmp_path: Path) -> None:
    with (
        PartFile(tmp_path / "p", ASKED),
        pytest.raises(Mistake, match="another command is at work"),
    ):
        PartFile(tmp_path / "p", ASKED)
    with PartFile(tmp_path / "p", ASKED):
        pass
