"""Where estimators find their server: a value that can be cloned, printed and pickled.

Clients are kept apart from it, one a server and process, so that a hundred clones
in a grid search share a channel and none is copied into another process.
"""

import atexit
import os
import threading
from dataclasses import dataclass, field
from typing import Any

from icecore.client.client import DEFAULT_TIMEOUT_S, Client


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as the arguments of `Client` name it.

    The key is neither shown nor pickled: in another process, such as a worker of
    joblib, ICECORE_KEY has it, or there is none.
    """

    address: str | None = None
    data: str | None = None
    key: str | None = field(default=None, repr=False)
    ca: str | None = None
    tls: bool = False
    insecure_transport: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __reduce__(self) -> tuple[type["Server"], tuple[Any, ...]]:
        shown = (self.address, self.data, None, self.ca, self.tls)
        return Server, (*shown, self.insecure_transport, self.timeout_s)

    def __deepcopy__(self, _: dict[int, Any]) -> "Server":
        return self


_VARIABLES = ("ICECORE_SERVER", "ICECORE_DATA", "ICECORE_KEY")
_clients: dict[tuple[Any, ...], Client] = {}
_lock = threading.Lock()


def client_of(server: str | Server | None) -> Client:
    """Return this process's client of a server; an address alone, or None, will do.

    Raises:
        ValueError: it is none of these.
        InvalidArgument: as `Client`.
    """
    if server is None or isinstance(server, str):
        server = Server(server)
    if not isinstance(server, Server):
        raise ValueError(
            f"server is a {type(server).__name__!r}, but must be an address, a Server or None"
        )
    # A forked process cannot use the channel of the one before it.
    place = (os.getpid(), server, *map(os.environ.get, _VARIABLES))
    with _lock:
        if place not in _clients:
            _clients[place] = Client(
                server.address,
                data=server.data,
                key=server.key,
                ca=server.ca,
                tls=server.tls,
                timeout_s=server.timeout_s,
                insecure_transport=server.insecure_transport,
            )
        return _clients[place]


def close_clients() -> None:
    """Close what estimators of this process have opened; they open it again when used."""
    with _lock:
        closing = [client for place, client in _clients.items() if place[0] == os.getpid()]
        _clients.clear()
    for client in closing:
        client.close()


atexit.register(close_clients)
