"""Client's calls about probes: trained, watched, promoted, applied."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from icecore.client._batches import Batcher
from icecore.client._operations import predict as predict_operations
from icecore.client._operations import probe as operations
from icecore.client._operations import training
from icecore.client._operations.places import image_bytes, require_many
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import batched
from icecore.client.accuracy_values import Comparison
from icecore.client.input_values import ImageInput, LayerSpec, Priority
from icecore.client.probe_values import Prediction, Probe, ProbeKind, ProbeVersion, Progress
from icecore.wire.codes import Codes
from icecore.wire.taps import AVG, Activation, Pooling


class ProbeCalls(Calls):
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
                and fitting starts at its weights, in a fraction of the time. There may be
                new images and classes, and others gone.
            wait: return the READY version, not at once the one in TRAINING.
            on_progress: while waiting, called with each change.
            request_id: makes this call exactly-once; None makes one.
            timeout_s: deadline of starting, in place of the client's; waiting has none.

        Raises:
            FailedPrecondition: one class only, or a class with one image; `base_version` is
                not READY, or of another backbone than the collection.
            TrainingFailed: `wait`, and it ended FAILED or CANCELLED.
        """
        operation = training.train_probe(
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
        return training.ready(version)

    def watch_probe(
        self, probe_id: str, version: int = 0, *, timeout_s: float | None = None
    ) -> Iterator[Progress]:
        """Yield where training stands now and each change, until its end state.

        `version` 0 is the newest. To stop watching does not stop training. A broken
        connection is opened again. `timeout_s` bounds the whole stream; None does not.
        """
        return self._transport.watch(
            lambda last: training.watch_probe(
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
        operation = training.cancel_training(probe_id, version, request_id=request_id)
        return self._transport.unary(operation, timeout_s)

    def probe(self, probe_id: str, *, timeout_s: float | None = None) -> Probe:
        """Return a probe with its versions, newest first.

        Raises:
            NotFound: this tenant has none of this id.
        """
        return self._transport.unary(operations.probe(probe_id), timeout_s)

    def probes(self, *, timeout_s: float | None = None) -> list[Probe]:
        """Return all probes, by id. `timeout_s` bounds each page."""
        return list(self._transport.pages(operations.probes, timeout_s))

    def promote_version(
        self,
        probe_id: str,
        version: int,
        *,
        expected_version: int | None = None,
        not_worse_by: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Probe:
        """Make a READY version the one that `predict` uses.

        With `expected_version` (0: none) only if that is the promoted one now. With
        `not_worse_by`, an accuracy in 0..1, only if the 95 % interval of its accuracy minus
        the promoted one's, as `compare_versions` gives it, begins at -not_worse_by or above.

        Raises:
            FailedPrecondition: another is promoted than expected, this one is not READY, it
                may be worse (VERSION_WORSE), or that cannot be found out.
        """
        operation = operations.promote_version(
            probe_id,
            version,
            expected_version=expected_version,
            not_worse_by=not_worse_by,
            request_id=request_id,
        )
        return self._transport.unary(operation, timeout_s)

    def compare_versions(
        self,
        probe_id: str,
        version_a: int,
        version_b: int,
        *,
        collection_id: str = "",
        timeout_s: float | None = None,
    ) -> Comparison:
        """Judge two versions on the labelled images of a collection, as they are now.

        Each image is judged by answers that did not learn from it, also where a version was
        trained on it. `collection_id` "" is the collection that `version_b` was trained on.
        Codes that it does not have are computed, which may take long: `timeout_s`.

        Raises:
            FailedPrecondition: a version is not READY, is older than such comparisons
                (train it again), or no image can be judged.
        """
        operation = operations.compare_versions(
            probe_id, version_a, version_b, collection_id=collection_id
        )
        return self._transport.unary(operation, timeout_s)

    def delete_version(
        self,
        probe_id: str,
        version: int,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Delete a version, unless it is promoted or in training."""
        operation = operations.delete_version(probe_id, version, request_id=request_id)
        self._transport.unary(operation, timeout_s)

    def delete_probe(
        self, probe_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """Delete a probe with all its versions, really."""
        operation = operations.delete_probe(probe_id, request_id=request_id)
        self._transport.unary(operation, timeout_s)

    def predict(
        self,
        probe_id: str,
        images: Sequence[ImageInput] | None = None,
        *,
        codes: Codes | None = None,
        version: int = 0,
        priority: Priority | str = Priority.INTERACTIVE,
        timeout_s: float | None = None,
    ) -> list[Prediction]:
        """Return what a probe says of images, or of codes from its own tap.

        `version` 0 is the promoted one. For more images than one message holds
        there is `predict_stream`.

        Raises:
            FailedPrecondition: codes of another tap (the sentence names both), or
                nothing is promoted yet.
        """
        operation = predict_operations.predict(
            probe_id, images, codes=codes, version=version, priority=priority
        )
        return self._transport.unary(operation, timeout_s)

    def predict_stream(
        self,
        probe_id: str,
        images: Iterable[ImageInput],
        *,
        version: int = 0,
        priority: Priority | str = Priority.INTERACTIVE,
        batch_size: int = 32,
        timeout_s: float | None = None,
    ) -> Iterator[Prediction]:
        """Yield what a probe says of one image after another, in order.

        Batches, look-ahead, breaks and `timeout_s` are as in `embed_stream`.
        """
        require_many(images)
        batcher = Batcher[ImageInput](image_bytes, batch_size=batch_size)
        plan = predict_operations.predict_plan(probe_id, version, priority)
        answers = self._transport.exchange(batched(images, batcher, plan), timeout_s)
        return (prediction for answer in answers for prediction in answer)
