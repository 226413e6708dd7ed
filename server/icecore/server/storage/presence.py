"""What tells in a data folder that a server serves it: where it is, and its socket."""

import asyncio
import json
import os
import time
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

from icecore.server.storage.private_files import write_private

_SOCKET_GONE_S: Final = 2.0
"""gRPC removes it some milliseconds after it has stopped; a server never waits longer to end."""


def write_server_json(
    path: Path, *, address: str, listen: str | None, metrics: str | None, is_tls: bool
) -> None:
    """Tell clients where this process serves; addresses are as in the log line "serving"."""
    fields = {
        "pid": os.getpid(),
        "address": address,
        "listen": listen,
        "metrics": metrics,
        "tls": is_tls,
        "version": installed_version("icecore"),
    }
    write_private(path, json.dumps(fields) + "\n")


async def remove_socket(path: Path) -> None:
    """Wait until gRPC has removed it: later it would remove that of the folder's next server."""

    def wait() -> None:
        end = time.monotonic() + _SOCKET_GONE_S
        while path.exists() and time.monotonic() < end:
            time.sleep(0.01)
        path.unlink(missing_ok=True)

    await asyncio.to_thread(wait)
