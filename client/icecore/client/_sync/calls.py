"""What all parts of Client share: the transport."""

from icecore.client._sync.transport import Transport


class Calls:
    """A part of Client. `timeout_s` of a call is its own deadline in place of the client's."""

    _transport: Transport
