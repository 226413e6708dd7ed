"""Files of codes come back as they went in, under the names that scripts depend on."""

from pathlib import Path

import numpy as np
import pytest

from icecore.cli.codes_file import codes_writer
from icecore.cli.mistakes import Mistake
from icecore.client import Codes, Pooling, PoolingKind, TapId
from icecore.wire.codes import CodeArray


def _codes(layer: str, *, dtype: type = np.float32, whole: bool = False) -> Codes:
    shape = (3, 4, 2, 2) if whole else (3, 4)
    pooling = Pooling(PoolingKind.NONE) if whole else Pooling()
    values: CodeArray = np.random.default_rng(len(layer)).random(shape).astype(dtype)
    return Codes(values, TapId(digest="0" * 64, layer=layer, pooling=pooling))


PATHS = ["a.jpg", "蚂蚁/b.jpg", "c.jpg"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_one_layer_is_called_codes(tmp_path: Path, dtype: type, whole: bool) -> None:
    codes = _codes("head", dtype=dtype, whole=whole)
    codes_writer(tmp_path / "x.npz")(PATHS, [codes])
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert set(file) == {"paths", "codes"}
        assert file["paths"].tolist() == PATHS
        assert file["codes"].dtype == dtype
        assert np.array_equal(file["codes"], codes.values)


def test_several_layers_have_their_names_whatever_these_are(tmp_path: Path) -> None:
    names = ["file", "allow_pickle", "blocks/5/expand:0", "x.npy"]
    codes = [_codes(name) for name in names]
    codes_writer(tmp_path / "x.npz")(PATHS, codes)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        for one in codes:
            stored = file[one.tap.layer]
            assert np.array_equal(stored, one.values), one.tap.layer


def test_a_layer_called_as_the_paths_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="a layer is called 'paths'"):
        codes_writer(tmp_path / "x.npz")(PATHS, [_codes("paths"), _codes("head")])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    codes_writer(out)(PATHS, [_codes("head")])
    before = out.read_bytes()
    with pytest.raises(Mistake):
        codes_writer(out)(PATHS, [_codes("paths"), _codes("head")])
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
