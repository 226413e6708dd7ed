"""Which server a client means: one with an address, or the data folder's own."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

from icecore.client._address import Endpoint, parse_address, read_roots
from icecore.client.errors import InvalidArgument
from icecore.client.waiting import OnWait


@dataclass(frozen=True, slots=True)
class Embedded:
    """The server of a data folder, found or started at the first call."""

    folder: Path
    until_idle_s: float
    key: str | None = field(default=None, repr=False)
    on_wait: OnWait | None = field(default=None, repr=False)

    def endpoint(self, address: str) -> Endpoint:
        return Endpoint(parse_address(address), key=self.key)


def data_folder(path: Path | str | None = None) -> Path:
    """Return the data folder: this one, else ICECORE_DATA, else the platform's for users."""
    chosen = path or os.environ.get("ICECORE_DATA") or user_data_path("icecore")
    return Path(chosen).expanduser().absolute()


def where(
    address: str | None,
    *,
    data: Path | str | None,
    key: str | None,
    ca: Path | str | None,
    tls: bool,
    insecure_transport: bool,
    until_idle_s: float,
    on_wait: OnWait | None = None,
) -> Endpoint | Embedded:
    """Return what arguments and, where they are None, environment say.

    Raises:
        InvalidArgument: a bad address, both an address and a folder, or a key in the open.
    """
    if address is not None and data is not None:
        raise InvalidArgument(
            f"both address {address!r} and data folder {str(data)!r} are given; a client has one"
        )
    if key is None:
        key = os.environ.get("ICECORE_KEY") or None
    if address is None and data is None:
        address = os.environ.get("ICECORE_SERVER") or None
    if address is None:
        if tls or ca is not None:
            raise InvalidArgument(
                "TLS is asked for without the address of a server, which --server, address= or "
                "ICECORE_SERVER name"
            )
        embedded = Embedded(data_folder(data), until_idle_s, key, on_wait)
        embedded.endpoint("unix:/checked-before-anything-starts")
        return embedded
    return Endpoint(
        parse_address(address),
        key=key,
        tls=tls or ca is not None,
        roots=None if ca is None else read_roots(Path(ca)),
        insecure_transport=insecure_transport,
    )
