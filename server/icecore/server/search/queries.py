"""What a search is made with: codes that were sent, or those of stored examples."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from icecore.server.errors import CodesInvalid, ExampleNotFound
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.indexed import Indexed


def checked(queries: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if queries.dtype not in (np.dtype("<f4"), np.dtype("<f2")):
        raise CodesInvalid(f"queries are float32 or float16 codes, not {queries.dtype.name}")
    if queries.ndim < 2 or len(queries) == 0:
        raise CodesInvalid(
            f"queries have the shape {queries.shape}, but must be (q, d) with at least one row"
        )
    flat = queries.reshape(len(queries), -1)
    finite = np.isfinite(flat).all(axis=1)
    if not finite.all():
        raise CodesInvalid(f"query {int(np.argmin(finite))} has a value that is not finite")
    return np.ascontiguousarray(flat, dtype=np.float32)


def rows_of(indexed: Indexed, example_ids: Sequence[str], collection_id: str) -> list[int]:
    """Return where these examples are; `indexed` is in order of id.

    Raises:
        CodesInvalid: there are none.
        ExampleNotFound: the collection does not hold one of them.
    """
    if not example_ids:
        raise CodesInvalid("there are no ids to search with; at least one is needed")
    rows = []
    for example_id in example_ids:
        row = bisect_left(indexed.examples, example_id, key=lambda one: one.example_id)
        if row == len(indexed.examples) or indexed.examples[row].example_id != example_id:
            raise ExampleNotFound(
                f"collection {collection_id!r} has no example {example_id!r} to search with"
            )
        rows.append(row)
    return rows


def check_width(queries: npt.NDArray[np.float32], index: ExactIndex) -> None:
    if queries.shape[1] != index.n_dims:
        raise CodesInvalid(
            f"queries have {queries.shape[1]:,} values each, "
            f"but the collection's codes at this tap have {index.n_dims:,}"
        )
