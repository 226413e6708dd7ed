"""The client that waits. `AsyncClient` is its twin."""

from pathlib import Path
from types import TracebackType
from typing import Self

from icecore.client._sync.advice import AdviceCalls
from icecore.client._sync.backbones import BackboneCalls
from icecore.client._sync.codes import CodesCalls
from icecore.client._sync.collection import CollectionCalls
from icecore.client._sync.probe import ProbeCalls
from icecore.client._sync.tenant import TenantCalls
from icecore.client._sync.training import TrainingCalls
from icecore.client._sync.transport import Transport
from icecore.client._where import where
from icecore.client.waiting import OnWait

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_UNTIL_IDLE_S = 10.0


class Client(
    AdviceCalls, BackboneCalls, CodesCalls, CollectionCalls, ProbeCalls, TenantCalls, TrainingCalls
):
    """Calls to one icecore server, from any number of threads.

    Without an address, and without ICECORE_SERVER in the environment, it is the
    server of the data folder: the one that serves it already, or else one started
    at the first call, which ends some seconds after its last client.

        with Client() as client:
            [codes] = client.embed([Path("ant.jpg")], layers="-1")

    A call that finds no server, or one that restarts, is tried again for about two
    seconds; calls that change something carry a request id, so they happen once.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        data: Path | str | None = None,
        key: str | None = None,
        ca: Path | str | None = None,
        tls: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        insecure_transport: bool = False,
        until_idle_s: float = DEFAULT_UNTIL_IDLE_S,
        on_wait: OnWait | None = None,
    ) -> None:
        """Check the arguments; nothing is called or started yet.

        Args:
            address: "HOST:PORT" or "unix:/PATH"; None is ICECORE_SERVER, or the data folder.
            data: the data folder; None is ICECORE_DATA, or the platform's.
            key: a tenant's or the administrator's; None is ICECORE_KEY, or no key.
            ca: PEM file of the authority that signed the server's certificate; means TLS.
            tls: TLS with the usual authorities.
            timeout_s: deadline of each call that names no other.
            insecure_transport: send the key unencrypted to another machine all the same.
            until_idle_s: how long a server started here stays without clients.
            on_wait: is told when a call waits for a server that is away or full, or is
                started in a data folder that is new.

        Raises:
            InvalidArgument: an address that is none, a key that would travel in the open, or a
                `ca` that cannot be read.
        """
        self._transport = Transport(
            where(
                address,
                data=data,
                key=key,
                ca=ca,
                tls=tls,
                insecure_transport=insecure_transport,
                until_idle_s=until_idle_s,
                on_wait=on_wait,
            ),
            timeout_s=timeout_s,
            on_wait=on_wait,
        )

    def connect(self) -> str:
        """Return the server's address; for the data folder's, find or start it first.

        Calls do this themselves. With the address of a server nothing is sent yet.

        Raises:
            LocalServerError: the data folder's server cannot be found or started.
        """
        return self._transport.connect().address.target

    def close(self) -> None:
        """End open calls and the connection; the client is of no use then."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
