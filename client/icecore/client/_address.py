"""Where a server is and how to speak to it: addresses, TLS, and who may see a key."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from icecore.client import _trace
from icecore.client.errors import INSECURE_TRANSPORT, InvalidArgument

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})")
# Bytes of a header that HTTP/2 and gRPC let through; a key with others never was one.
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address: `target` as gRPC takes it, and how far away it is."""

    target: str
    is_local: bool

    def __str__(self) -> str:
        return self.target


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with credentials. `roots` is PEM; None with `tls` means the usual ones.

    Raises:
        InvalidArgument: a key that would travel in the open, or TLS over a local socket.
    """

    address: Address
    key: str | None = field(default=None, repr=False)
    tls: bool = False
    roots: bytes | None = None
    insecure_transport: bool = False

    def __post_init__(self) -> None:
        if self.tls and self.address.target.startswith("unix:"):
            raise InvalidArgument(
                f"{self.address.target!r} is a socket of this machine, which has no TLS"
            )
        if self.key is not None and not _KEY.fullmatch(self.key):
            raise InvalidArgument(
                "the key is empty or holds spaces or other characters that no key has"
            )
        in_the_open = not self.tls and not self.address.is_local
        if self.key is not None and in_the_open and not self.insecure_transport:
            raise InvalidArgument(
                f"a key would travel unencrypted to {self.address.target!r}: give ca=FILE or "
                "tls=True, or insecure_transport=True where the network itself is encrypted",
                reason=INSECURE_TRANSPORT,
            )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers of a call made here and now: the key, and the trace the caller is in."""
        key = () if self.key is None else (("authorization", f"Bearer {self.key}"),)
        return key + _trace.headers()


def parse_address(text: str) -> Address:
    """Return the address that `HOST:PORT`, `[V6]:PORT` or `unix:PATH` names.

    Nothing else: gRPC's other schemes would take a key to places not checked here.

    Raises:
        InvalidArgument: it is none of these.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or path.startswith("//") or "\0" in path:
            raise InvalidArgument(f"address {text!r} does not name a socket, as unix:/PATH does")
        return Address(text, is_local=True)
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise InvalidArgument(
            f"address {text!r} is neither HOST:PORT (port 1 to 65535) nor unix:/PATH"
        )
    return Address(text, is_local=_is_loopback(match["host"].strip("[]")))


def read_roots(path: Path) -> bytes:
    """Return the certificates of a PEM file.

    Raises:
        InvalidArgument: it cannot be read, or there are none in it.
    """
    try:
        roots = path.read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InvalidArgument(f"ca is {str(path)!r}, which cannot be read: {why}") from error
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        raise InvalidArgument(f"{str(path)!r} holds no certificate in PEM form")
    return roots


def _is_loopback(host: str) -> bool:
    """Whether packets stay here. A name that merely resolves so may resolve elsewhere next time."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
