"""Client's calls about trained probes: promoted, compared, deleted, applied."""

from collections.abc import Iterable, Iterator, Sequence

from icecore.client._batches import Batcher
from icecore.client._operations import predict as predict_operations
from icecore.client._operations import probe as operations
from icecore.client._operations.places import image_bytes, require_many
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import batched
from icecore.client.accuracy_values import Comparison
from icecore.client.input_values import ImageInput, Priority
from icecore.client.probe_values import Prediction, Probe
from icecore.wire.codes import Codes


class ProbeCalls(Calls):
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
