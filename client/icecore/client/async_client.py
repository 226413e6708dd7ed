"""The client that awaits, the twin of `Client`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from icecore.client._async.advice import AsyncAdviceCalls
from icecore.client._async.backbones import AsyncBackboneCalls
from icecore.client._async.codes import AsyncCodesCalls
from icecore.client._async.collection import AsyncCollectionCalls
from icecore.client._async.probe import AsyncProbeCalls
from icecore.client._async.tenant import AsyncTenantCalls
from icecore.client._async.training import AsyncTrainingCalls
from icecore.client._async.transport import Transport
from icecore.client._where import where
from icecore.client.client import DEFAULT_TIMEOUT_S, DEFAULT_UNTIL_IDLE_S
from icecore.client.waiting import OnWait


class AsyncClient(
    AsyncAdviceCalls,
    AsyncBackboneCalls,
    AsyncCodesCalls,
    AsyncCollectionCalls,
    AsyncProbeCalls,
    AsyncTenantCalls,
    AsyncTrainingCalls,
):
    """Calls to one icecore server, from one event loop; all else is as in `Client`.

        async with AsyncClient() as client:
            [codes] = await client.embed([Path("ant.jpg")], layers="-1")

    What yields in `Client` is an asynchronous iterator here. Where images or
    examples are streamed, either kind of iterable will do. Files are read in
    threads.
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
        """As `Client`."""
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

    async def connect(self) -> str:
        """As `Client.connect`."""
        return (await self._transport.connect()).address.target

    async def close(self) -> None:
        """As `Client.close`."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
