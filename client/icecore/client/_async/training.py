"""AsyncClient's calls about training: begun, watched, cancelled."""

from collections.abc import AsyncIterator, Callable, Sequence

from icecore.client._async.calls import AsyncCalls
from icecore.client._operations import training as operations
from icecore.client.input_values import LayerSpec
from icecore.client.probe_values import ProbeKind, ProbeVersion, Progress
from icecore.wire.taps import AVG, Activation, Pooling


class AsyncTrainingCalls(AsyncCalls):
    async def train_probe(
        self,
        probe_id: str,
        collection_id: str,
        *,
        kind: ProbeKind | str | None = None,
        layers: LayerSpec | Sequence[LayerSpec] = "auto",
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        seed: int = 0,
        promote: bool = True,
        not_worse_by: float | None = None,
        base_version: int | None = None,
        wait: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> ProbeVersion:
        """As `Client.train_probe`."""
        operation = operations.train_probe(
            probe_id,
            collection_id,
            kind=kind,
            layers=layers,
            activation=activation,
            pooling=pooling,
            seed=seed,
            promote=promote,
            not_worse_by=not_worse_by,
            base_version=base_version,
            request_id=request_id,
        )
        version = await self._transport.unary(operation, timeout_s)
        if not wait:
            return version
        async for progress in self.watch_probe(probe_id, version.version):
            version = progress.version
            if on_progress is not None:
                on_progress(progress)
        return operations.ready(version)

    def watch_probe(
        self, probe_id: str, version: int = 0, *, timeout_s: float | None = None
    ) -> AsyncIterator[Progress]:
        """As `Client.watch_probe`."""
        return self._transport.watch(
            lambda last: operations.watch_probe(
                probe_id, version if last is None else last.version.version
            ),
            timeout_s,
        )

    async def cancel_training(
        self,
        probe_id: str,
        version: int,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> ProbeVersion:
        """As `Client.cancel_training`."""
        operation = operations.cancel_training(probe_id, version, request_id=request_id)
        return await self._transport.unary(operation, timeout_s)
