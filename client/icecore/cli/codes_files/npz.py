"""The .npz of numpy: `paths`, and one array a column, written chunk by chunk."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from icecore.cli.codes_files.columns import PATHS
from icecore.cli.codes_files.rows import Rows


def write_npz(file: Path, rows: Rows) -> None:
    """Write all rows. Only a chunk of one column is in memory at once."""
    # numpy.savez takes whole arrays, and names as keywords.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        dtype = np.dtype((np.str_, max(map(len, rows.paths), default=1) or 1))
        texts = (np.array(rows.paths[chunk], dtype) for chunk in rows.chunks(dtype.itemsize))
        _put(archive, PATHS, (len(rows.paths),), dtype, texts)
        for place, column in enumerate(rows.columns):
            values = (rows.values(place, chunk) for chunk in rows.chunks(column.row_bytes))
            shape = len(rows.paths), *column.shape
            _put(archive, column.name, shape, np.dtype(column.dtype), values)


def _put(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: Iterator[np.ndarray[Any, Any]],
) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_2_0(member, header)
        for chunk in chunks:
            member.write(np.ascontiguousarray(chunk).tobytes())
