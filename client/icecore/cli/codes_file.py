"""Files of codes: .npz of numpy's, .parquet where pyarrow is installed."""

import importlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from icecore.cli.mistakes import Mistake
from icecore.client import Codes

Writer: TypeAlias = Callable[[Sequence[str], Sequence[Codes]], None]

PATHS = "paths"
CODES = "codes"


def codes_writer(out: Path) -> Writer:
    """Return what writes paths and codes to this file, replacing it when it is whole.

    Raises:
        Mistake: another suffix, no pyarrow, or no folder to write to.
    """
    writers = {".npz": _write_npz, ".parquet": _write_parquet}
    if out.suffix not in writers:
        raise Mistake(f"--out is {str(out)!r}, but must end in .npz or .parquet")
    if not out.absolute().parent.is_dir():
        raise Mistake(f"there is no folder {str(out.absolute().parent)!r} to write {out.name!r} to")
    if out.suffix == ".parquet":
        _pyarrow("")
    write = writers[out.suffix]

    def write_whole(paths: Sequence[str], codes: Sequence[Codes]) -> None:
        part = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            write(part, paths, _named(codes))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    return write_whole


def _named(codes: Sequence[Codes]) -> dict[str, Codes]:
    """Codes by the name of their array: `codes` alone, or else the layer's."""
    if len(codes) == 1:
        return {CODES: codes[0]}
    named = {one.tap.layer: one for one in codes}
    if PATHS in named:
        raise Mistake(f"a layer is called {PATHS!r} as the files are: ask for it alone")
    return named


def _write_npz(file: Path, paths: Sequence[str], codes: dict[str, Codes]) -> None:
    # numpy.savez takes names as keywords, and so not those of every layer.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, PATHS, np.array(paths, dtype=np.str_))
        for name, one in codes.items():
            _put(archive, name, one.values)


def _put(archive: zipfile.ZipFile, name: str, array: np.ndarray[Any, Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _write_parquet(file: Path, paths: Sequence[str], codes: dict[str, Codes]) -> None:
    pa, parquet = _pyarrow(""), _pyarrow(".parquet")
    columns = {PATHS: pa.array(list(paths), pa.string())}
    for name, one in codes.items():
        columns[name] = pa.FixedSizeListArray.from_arrays(
            pa.array(one.values.reshape(-1)), one.dims
        )
    taps = {f"icecore.tap.{name}": one.tap.to_json() for name, one in codes.items()}
    parquet.write_table(pa.table(columns).replace_schema_metadata(taps), file)


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ModuleNotFoundError:
        raise Mistake(
            "a .parquet file needs 'pyarrow': pip install pyarrow, or write an .npz"
        ) from None
