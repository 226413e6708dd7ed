"""What all parts of AsyncClient share: the transport."""

from icecore.client._async.transport import Transport


class AsyncCalls:
    """A part of AsyncClient. `timeout_s` of a call is its own deadline in place of the client's."""

    _transport: Transport
