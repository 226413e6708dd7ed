"""AsyncClient's call for advice about transfer."""

from collections.abc import Callable, Sequence

from icecore.client._async.calls import AsyncCalls
from icecore.client._operations import advice as operations
from icecore.client.advice_values import Advice, Advising
from icecore.client.probe_values import ProbeKind


class AsyncAdviceCalls(AsyncCalls):
    async def advise_transfer(
        self,
        collection_id: str,
        backbones: Sequence[str] = (),
        *,
        kind: ProbeKind | str = ProbeKind.SOFTMAX,
        seed: int = 0,
        max_images: int = 0,
        on_progress: Callable[[Advising], None] | None = None,
        timeout_s: float | None = None,
    ) -> Advice:
        """As `Client.advise_transfer`."""
        operation = operations.advise_transfer(
            collection_id, backbones=backbones, kind=kind, seed=seed, max_images=max_images
        )
        async for said in self._transport.watch(lambda _: operation, timeout_s):
            if on_progress is not None:
                on_progress(said)
            if said.advice is not None:
                return said.advice
        raise operations.unanswered()
