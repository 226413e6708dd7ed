"""Parquet and Arrow (IPC, as Feather): one row an image, written batch by batch.

`paths` is a column of texts, each layer one of fixed-size lists; whole maps lie flat
in them. The schema's metadata has each column's tap (`icecore.tap.NAME`) and shape.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from icecore.cli.codes_files.columns import PATHS
from icecore.cli.codes_files.rows import Rows
from icecore.cli.mistakes import Mistake

_ROW_GROUP = 8
"""Chunks in a row group; readers want these large, and one is in memory while it is written."""


def write_parquet(file: Path, rows: Rows) -> None:
    """Write all rows, a row group a batch."""
    parquet = pyarrow(".parquet")
    # Codes repeat too seldom for dictionaries, and nobody asks for their least and greatest.
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": [PATHS]}
    with parquet.ParquetWriter(file, _schema(rows), **options) as writer:
        for chunk in rows.chunks(_row_bytes(rows), times=_ROW_GROUP):
            writer.write_batch(_batch(rows, chunk))


def write_ipc(file: Path, rows: Rows) -> None:
    """Write all rows uncompressed, so that readers can map them into memory."""
    pa = pyarrow()
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _schema(rows)) as writer:
        for chunk in rows.chunks(_row_bytes(rows)):
            writer.write_batch(_batch(rows, chunk))


def pyarrow(module: str = "") -> Any:
    """Return pyarrow, or a module of it.

    Raises:
        Mistake: it is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ModuleNotFoundError:
        raise Mistake(
            "Parquet and Arrow need 'pyarrow': pip install 'icecore[arrow]', or write an .npz"
        ) from None


def _schema(rows: Rows) -> Any:
    pa = pyarrow()
    kinds = {"<f4": pa.float32(), "<f2": pa.float16()}
    fields = [pa.field(PATHS, pa.string(), nullable=False)]
    metadata: dict[str, str] = {}
    for column in rows.columns:
        kind = pa.list_(pa.field("item", kinds[column.dtype], nullable=False), column.dims)
        fields.append(pa.field(column.name, kind, nullable=False))
        metadata[f"icecore.tap.{column.name}"] = column.tap.to_json()
        metadata[f"icecore.shape.{column.name}"] = json.dumps(list(column.shape))
    return pa.schema(fields, metadata)


def _batch(rows: Rows, chunk: slice) -> Any:
    pa = pyarrow()
    schema = _schema(rows)
    arrays = [pa.array(rows.paths[chunk], pa.string())]
    for place in range(len(rows.columns)):
        values = rows.values(place, chunk).reshape(-1)
        arrays.append(
            pa.FixedSizeListArray.from_arrays(pa.array(values), type=schema.field(1 + place).type)
        )
    return pa.record_batch(arrays, schema=schema)


def _row_bytes(rows: Rows) -> int:
    return sum(column.row_bytes for column in rows.columns)
