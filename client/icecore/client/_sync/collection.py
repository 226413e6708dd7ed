"""Client's calls about collections and their examples."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from icecore.client._batches import Batcher
from icecore.client._operations import collection as operations
from icecore.client._operations import search as search_operations
from icecore.client._operations.places import image_bytes
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import batched
from icecore.client.collection_values import (
    Added,
    Collection,
    Example,
    Hit,
    Metric,
    NewExample,
    OnDuplicate,
)
from icecore.client.input_values import ImageInput, LayerSpec
from icecore.wire.codes import Codes
from icecore.wire.taps import AVG, Activation, Pooling


class CollectionCalls(Calls):
    def create_collection(
        self,
        collection_id: str,
        *,
        backbone: str = "",
        keep_images: bool = True,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Collection:
        """Return a new, empty collection over a backbone ("" is the default one).

        Without its images only the core, stored as examples are added, can be read later.

        Args:
            collection_id: letters, digits, ".", "_" and "-".
            backbone: which one its codes come from.
            keep_images: whether encoded images are stored.
            request_id: makes this call exactly-once however often it is repeated;
                None makes one, so that at least this client's own retries are.
            timeout_s: deadline in place of the client's.

        Raises:
            AlreadyExists: there is one of this id.
        """
        operation = operations.create_collection(
            collection_id, backbone=backbone, keep_images=keep_images, request_id=request_id
        )
        return self._transport.unary(operation, timeout_s)

    def collection(self, collection_id: str, *, timeout_s: float | None = None) -> Collection:
        """Return one collection with its counts.

        Raises:
            NotFound: this tenant has none of this id.
        """
        return self._transport.unary(operations.collection(collection_id), timeout_s)

    def collections(self, *, timeout_s: float | None = None) -> list[Collection]:
        """Return all collections, by id. `timeout_s` bounds each page."""
        return list(self._transport.pages(operations.collections, timeout_s))

    def delete_collection(
        self, collection_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """Delete a collection with its examples, images and codes, really."""
        operation = operations.delete_collection(collection_id, request_id=request_id)
        self._transport.unary(operation, timeout_s)

    def add_examples(
        self,
        collection_id: str,
        examples: Iterable[NewExample],
        *,
        on_duplicate: OnDuplicate | str = OnDuplicate.REFUSE,
        batch_size: int = 32,
        on_batch: Callable[[Added], None] | None = None,
        timeout_s: float | None = None,
    ) -> Added:
        """Add examples, batch after batch, and return what became of all of them.

        Each batch is atomic, and durable before `on_batch` hears of it; after an
        error those before it stay. A batch has at most `batch_size` examples,
        fewer where images are large. Examples are taken, and files read, at most
        four batches ahead of the server. A broken connection is opened again, and
        no batch is added twice. `timeout_s` bounds the whole stream; None does not.

        Raises:
            AlreadyExists: an id is there and `on_duplicate` is "refuse".
            InvalidArgument: an image, id, label or metadata that cannot be.
            OSError: a file cannot be read.
        """
        plan = operations.add_plan(collection_id, on_duplicate=on_duplicate)
        batcher = Batcher[NewExample](
            lambda example: image_bytes(example.image), batch_size=batch_size
        )
        requests = batched(examples, batcher, plan.batch)
        total = Added()
        for added in self._transport.exchange(requests, timeout_s):
            total += added
            if on_batch is not None:
                on_batch(added)
        return total

    def list_examples(
        self,
        collection_id: str,
        *,
        filter: str = "",  # noqa: A002 - the word of the contract and the command line
        page_size: int = 1000,
        timeout_s: float | None = None,
    ) -> Iterator[Example]:
        """Yield examples by id, reading pages as they are needed.

        `filter` is such as `label = "ant" AND metadata.year >= 2020`. `timeout_s`
        bounds each page.
        """
        return self._transport.pages(
            lambda token: operations.examples(
                collection_id, where=filter, page_size=page_size, page_token=token
            ),
            timeout_s,
        )

    def delete_examples(
        self,
        collection_id: str,
        example_ids: Sequence[str],
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Delete examples and return how many: all of them, or on an error none.

        Raises:
            NotFound: one of them is not there.
        """
        operation = operations.delete_examples(collection_id, example_ids, request_id=request_id)
        return self._transport.unary(operation, timeout_s)

    def search(
        self,
        collection_id: str,
        images: Sequence[ImageInput] | None = None,
        *,
        example_ids: Sequence[str] | None = None,
        codes: Codes | None = None,
        k: int = 10,
        layer: LayerSpec = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        metric: Metric | str = Metric.COSINE,
        filter: str = "",  # noqa: A002 - the word of the contract and the command line
        timeout_s: float | None = None,
    ) -> list[list[Hit]]:
        """Return the `k` nearest examples of each query, best first, ties by id.

        Queries are images, stored examples (which are among their own hits), or
        codes, whose tap then stands for layer, activation and pooling. Exact. L2 is
        the distance, not its square, and ascends; a zero vector's cosine is 0.

        Raises:
            InvalidArgument: none or several kinds of query, k below 1, or a bad filter.
            FailedPrecondition: codes of another tap, or a tap that needs images not kept.
        """
        operation = search_operations.search(
            collection_id,
            images=images,
            example_ids=example_ids,
            codes=codes,
            k=k,
            layer=layer,
            activation=activation,
            pooling=pooling,
            metric=metric,
            where=filter,
        )
        return self._transport.unary(operation, timeout_s)
