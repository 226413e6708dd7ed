"""Client's call for advice about transfer."""

from collections.abc import Callable, Sequence

from icecore.client._operations import advice as operations
from icecore.client._sync.calls import Calls
from icecore.client.advice_values import Advice, Advising
from icecore.client.probe_values import ProbeKind


class AdviceCalls(Calls):
    def advise_transfer(
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
        """Return what a collection's labelled images say about transfer.

        Which layer to read, whether a frozen backbone beats what costs less, and whether there
        are enough images. It takes a minute or some; a caller who leaves ends the work.

        Args:
            collection_id: it must keep its images.
            backbones: names or digests; none: the collection's own. Codes of others are
                computed for this answer alone.
            kind: "svm" or "softmax".
            seed: of the folds; the same as a training's gives the same folds.
            max_images: more are thinned, each class alike; 0: 2,000.
            on_progress: called with each stage and share.
            timeout_s: deadline of all of it; None: none.

        Raises:
            NotFound: no such collection or backbone, or an image was deleted meanwhile.
            FailedPrecondition: it keeps no images, or has one class only, or a class with
                one image.
            ResourceExhausted: too many others wait for theirs.
        """
        operation = operations.advise_transfer(
            collection_id, backbones=backbones, kind=kind, seed=seed, max_images=max_images
        )
        for said in self._transport.watch(lambda _: operation, timeout_s):
            if on_progress is not None:
                on_progress(said)
            if said.advice is not None:
                return said.advice
        raise operations.unanswered()
