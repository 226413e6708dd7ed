"""The process that builds large indexes: niced, one at a time, for as long as there are any.

    python -P -m icecore.server.search.build_worker

Standard input is a socket. A request and its answer are one message each, of JSON, with a
file descriptor of shared memory where there are arrays. When the socket ends the server is
gone or has no more to build, and so ends this process.
"""

import os
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from icecore.server.errors import CollectionNotFound, IcecoreError
from icecore.server.search.building_messages import receive, send
from icecore.server.search.scannable import scannable
from icecore.server.search.shared_arrays import SharedArrays
from icecore.server.search.written_examples import written
from icecore.server.storage.elsewhere import Elsewhere
from icecore.server.storage.records import CodeArray

_FLOAT32: Final = np.dtype(np.float32)


def main() -> int:
    """Build until there is no more to build."""
    elsewhere = Elsewhere()
    with socket.socket(fileno=os.dup(0)) as talk:
        while (received := receive(talk)) is not None:
            request, descriptor = received
            try:
                if descriptor is None:
                    made = _from_store(elsewhere, request)
                else:
                    made = _from_codes(SharedArrays.opened(descriptor), request)
            except IcecoreError as error:
                send(talk, {"error": type(error).__name__, "message": error.message})
                continue
            except Exception:  # the door of this process
                traceback.print_exc()
                return 1
            try:
                send(talk, {}, made.descriptor)
            finally:
                os.close(made.descriptor)
            del made
    return 0


def _from_store(elsewhere: Elsewhere, request: Mapping[str, Any]) -> SharedArrays:
    """The index of codes that are stored, with its examples."""
    tenant = elsewhere.tenant(request["source"])
    collection_id, layer = request["collection_id"], request["layer"]
    snapshot = tenant.snapshot(collection_id, [layer])
    if snapshot.number != request["number"]:
        raise CollectionNotFound(
            f"collection {collection_id!r} was deleted, and made anew, since this call began"
        )
    codes = snapshot.codes[layer]
    if not snapshot.examples:
        codes = np.zeros((0, request["n_values"]), np.float16)
    text, ends = written(snapshot.examples)
    shared = _made(
        codes,
        request,
        {"sequence": snapshot.sequence},
        {
            "codes": (codes.dtype, codes.shape),
            "text": (np.uint8, (len(text),)),
            "ends": (np.int64, ends.shape),
        },
    )
    shared.arrays["codes"][:] = codes
    shared.arrays["text"][:] = np.frombuffer(text, np.uint8)
    shared.arrays["ends"][:] = ends
    return shared


def _from_codes(given: SharedArrays, request: Mapping[str, Any]) -> SharedArrays:
    """The index of codes that the server computed; it has them and their examples itself."""
    return _made(given.arrays["codes"], request, {}, {})


def _made(
    codes: CodeArray,
    request: Mapping[str, Any],
    facts: Mapping[str, Any],
    wanted: Mapping[str, tuple[Any, tuple[int, ...]]],
) -> SharedArrays:
    """The codes made ready, in memory that has room for what else is wanted.

    How long the longest is follows from all of them, and the scale from that: so the
    facts are known at the end, and stand in an array of their own.
    """
    shared = SharedArrays.make(
        facts, {"scan": (_FLOAT32, codes.shape), "numbers": (np.float64, (2,)), **wanted}
    )
    made = scannable(codes, is_cosine=request["is_cosine"], into=shared.arrays["scan"])
    shared.arrays["numbers"][:] = made.scale, made.longest
    return shared


if __name__ == "__main__":
    sys.exit(main())
