"""Client's calls about training: begun, watched, cancelled."""

from collections.abc import Callable, Iterator, Sequence

from icecore.client._operations import training as operations
from icecore.client._sync.calls import Calls
from icecore.client.input_values import LayerSpec
from icecore.client.probe_values import ProbeKind, ProbeVersion, Progress
from icecore.wire.taps import AVG, Activation, Pooling


class TrainingCalls(Calls):
    def train_probe(
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
        """Train a new version of a probe, which need not exist, on a collection's labels.

        The job is the server's and durable: it goes on when the caller leaves.

        Args:
            probe_id: letters, digits, ".", "_" and "-".
            collection_id: its labelled examples, as they are now.
            kind: "svm" or "softmax"; None: softmax, or that of `base_version`.
            layers: "auto" (of all depths), one, or several to choose from; "all" joins as many
                as are of use, and `joined_gain` says whether that is better than one.
            activation: what is read at a layer.
            pooling: how a map becomes a vector; "auto" tries some at the chosen layer, which
                needs kept images.
            seed: of the folds.
            promote: whether READY moves the promoted pointer here.
            not_worse_by: an accuracy in 0..1; READY moves the pointer only as
                `promote_version` would with it, and the version says why it did not.
            base_version: a READY version to go on from: all that was chosen for it is kept,
                and fitting starts at its weights where they are of use, in a fraction of the
                time. There may be new images and classes, and others gone.
            wait: return the READY version, not at once the one in TRAINING.
            on_progress: while waiting, called with each change.
            request_id: makes this call exactly-once; None makes one.
            timeout_s: deadline of starting, in place of the client's; waiting has none.

        Raises:
            FailedPrecondition: one class only, or a class with one image; `base_version` is
                not READY, or of another backbone than the collection.
            TrainingFailed: `wait`, and it ended FAILED or CANCELLED.
        """
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
        version = self._transport.unary(operation, timeout_s)
        if not wait:
            return version
        for progress in self.watch_probe(probe_id, version.version):
            version = progress.version
            if on_progress is not None:
                on_progress(progress)
        return operations.ready(version)

    def watch_probe(
        self, probe_id: str, version: int = 0, *, timeout_s: float | None = None
    ) -> Iterator[Progress]:
        """Yield where training stands now and each change, until its end state.

        `version` 0 is the newest. To stop watching does not stop training. A broken
        connection is opened again. `timeout_s` bounds the whole stream; None does not.
        """
        return self._transport.watch(
            lambda last: operations.watch_probe(
                probe_id, version if last is None else last.version.version
            ),
            timeout_s,
        )

    def cancel_training(
        self,
        probe_id: str,
        version: int,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> ProbeVersion:
        """Stop training and return the version as it is then."""
        operation = operations.cancel_training(probe_id, version, request_id=request_id)
        return self._transport.unary(operation, timeout_s)
