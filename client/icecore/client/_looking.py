"""Looks at what listens at an address, after gRPC could not connect there.

A name may have several addresses, and gRPC tells of the last one that it tried only: of
`localhost` perhaps that nothing listens at ::1. Nothing of the caller's is sent.
"""

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass

from icecore.client._address import Endpoint
from icecore.client.errors import TLS_NOT_SPOKEN, TLS_WANTED

LOOK_S = 1.0
"""For all addresses of a name together."""

WANTS_TLS = "it wants TLS, which ca=FILE or tls=True give it"
NO_TLS = "it does not speak TLS, which ca=FILE or tls=True ask for"
NOT_TRUSTED = "its certificate is not of an authority trusted here, nor of the file that ca names"
OTHER_NAME = "its certificate is for another name"

_OTHER_NAMES = {62, 63, 64}
"""OpenSSL's numbers for a certificate of another host, mail or IP address."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Why there is no connection, in words and as a reason; "" where there is no own one."""

    why: str
    reason: str = ""


def look(endpoint: Endpoint) -> Seen | None:
    """Return why TLS fails between here and there; None if that is not the trouble."""
    host, _, port = endpoint.address.target.rpartition(":")
    host = host.strip("[]")
    end = time.monotonic() + LOOK_S
    try:
        places = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a label of the name may be empty or too long
        return None
    for family, kind, protocol, _, place in places:
        with (
            contextlib.suppress(OSError, ValueError),
            socket.socket(family, kind, protocol) as plain,
        ):
            plain.settimeout(max(0.05, end - time.monotonic()))
            plain.connect(place)
            if seen := _seen(plain, host, endpoint):
                return seen
    return None


def _seen(plain: socket.socket, host: str, endpoint: Endpoint) -> Seen | None:
    context = ssl.create_default_context()
    if endpoint.tls and endpoint.roots is not None:
        context = ssl.create_default_context(cadata=endpoint.roots.decode("ascii", errors="ignore"))
    else:
        # What gRPC trusts by itself is not known here; whether TLS is spoken is all that is asked.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return Seen(OTHER_NAME if error.verify_code in _OTHER_NAMES else NOT_TRUSTED)
    except ssl.SSLError as error:
        is_plain = endpoint.tls and error.reason == "WRONG_VERSION_NUMBER"
        return Seen(NO_TLS, TLS_NOT_SPOKEN) if is_plain else None
    return None if endpoint.tls else Seen(WANTS_TLS, TLS_WANTED)
