"""Messages between the server and the process that builds indexes: JSON, and a descriptor.

They go over a socket that keeps messages apart (SOCK_SEQPACKET), so there is no framing.
"""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

_MAX_BYTES: Final = 1 << 16


def send(talk: socket.socket, message: Mapping[str, Any], descriptor: int | None = None) -> None:
    """Send a message; the other side gets a descriptor of its own.

    Raises:
        OSError: the other side is gone.
    """
    descriptors = [] if descriptor is None else [descriptor]
    socket.send_fds(talk, [json.dumps(message).encode()], descriptors)


def receive(talk: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """Return the next message and its descriptor, the caller's to close; None at the end."""
    data, descriptors, _, _ = socket.recv_fds(talk, _MAX_BYTES, 1)
    if not data:
        return None
    try:
        return json.loads(data), descriptors[0] if descriptors else None
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
