"""A channel to the server and, with an embedded one, the call that keeps it up."""

import contextlib
import threading
from typing import Any

import grpc

from icecore.client import local
from icecore.client._address import Endpoint
from icecore.client._channel import open_channel
from icecore.client._stream import bytes_of
from icecore.client._where import Embedded


class Link:
    """`hold` is the open Health.Watch of an embedded server, which counts its clients."""

    def __init__(self, endpoint: Endpoint, channel: grpc.Channel, hold: Any = None) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self._hold = hold
        if hold is not None:
            # Read on, since a call that nobody reads does not notice its end.
            threading.Thread(target=_read_on, args=(hold,), daemon=True).start()

    def is_alive(self) -> bool:
        """Whether the embedded server still wants calls; others are not asked."""
        return self._hold is None or bool(self._hold.is_active())

    def close(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
        self.channel.close()


def link_to(where: Endpoint | Embedded) -> Link:
    """Return a link; a data folder's server is found or started, and serves.

    Raises:
        LocalServerError: it cannot be found or started.
    """
    if isinstance(where, Endpoint):
        return Link(where, open_channel(where))
    search = local.Search(where)
    while True:
        endpoint = where.endpoint(search.address())
        channel = open_channel(endpoint)
        hold = channel.unary_stream(local.WATCH_PATH, bytes_of, local.read_health)(
            local.WATCH_REQUEST
        )
        # A server that ends between being found and being called is looked for again.
        with contextlib.suppress(grpc.RpcError):
            # From its first answer on this client counts, so the server stays.
            if any(local.is_serving(answer) for answer in hold):
                return Link(endpoint, channel, hold)
        channel.close()
        search.again()


def _read_on(hold: Any) -> None:
    """Read until the server ends or says that it is about to."""
    with contextlib.suppress(grpc.RpcError):
        for answer in hold:
            if not local.is_serving(answer):
                break
    hold.cancel()
