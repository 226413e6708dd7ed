"""Client's calls that turn images into codes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy.typing as npt

from icecore.client._batches import Batcher
from icecore.client._bulk.patience import Patience
from icecore.client._bulk.plan import BulkPlan
from icecore.client._operations import codes as operations
from icecore.client._operations.places import image_bytes, require_many
from icecore.client._sync.bulk import embed_many
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import batched
from icecore.client.bulk_values import CodesBatch, OnError
from icecore.client.input_values import ImageInput, LayerSpec, Priority
from icecore.wire.codes import Codes
from icecore.wire.taps import AVG, Activation, Pooling


class CodesCalls(Calls):
    def embed(
        self,
        images: Sequence[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.INTERACTIVE,
        timeout_s: float | None = None,
    ) -> list[Codes]:
        """Return the codes of some images, one `Codes` a layer in the order asked.

        All layers come from one forward pass. `layers="*"` is the core: every
        layer with a depth, in that order. For more images than one message
        holds there is `embed_stream`.

        Args:
            images: at least one.
            backbone: "" is the default one.
            layers: one or several.
            activation: what is read at a layer.
            pooling: how a map becomes a vector; "none" keeps (n, c, h, w).
            dtype: float32, or float16, which refuses values past 65,504.
            priority: among the tenant's own calls.
            timeout_s: deadline in place of the client's.

        Raises:
            InvalidArgument: an image, pooling or dtype that cannot be, or too many images.
            NotFound: no such backbone or layer; the sentence lists near ones.
            OSError: a file cannot be read.
        """
        plan = operations.embed_plan(
            backbone=backbone,
            layers=layers,
            activation=activation,
            pooling=pooling,
            dtype=dtype,
            priority=priority,
        )
        return self._transport.unary(plan.embed(images), timeout_s)

    def embed_stream(
        self,
        images: Iterable[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.INTERACTIVE,
        batch_size: int = 32,
        timeout_s: float | None = None,
    ) -> Iterator[list[Codes]]:
        """Yield what `embed` returns, for one batch of images after another.

        Batches have at most `batch_size` images, fewer where they are large; they
        keep the order. Images are taken, and files read, at most four batches ahead
        of the codes. A broken connection is opened again. `timeout_s` bounds the
        whole stream; None does not.
        """
        plan = operations.embed_plan(
            backbone=backbone,
            layers=layers,
            activation=activation,
            pooling=pooling,
            dtype=dtype,
            priority=priority,
        )
        require_many(images)
        batcher = Batcher[ImageInput](image_bytes, batch_size=batch_size)
        requests = batched(images, batcher, plan.embed_stream)
        return self._transport.exchange(requests, timeout_s)

    def embed_many(
        self,
        images: Iterable[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.BULK,
        on_error: OnError = "raise",
        batch_size: int = 32,
        in_flight: int = 4,
        in_order: bool = True,
        downscale: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[CodesBatch]:
        """Yield codes of any number of images, batch after batch, in bounded memory.

        Images are taken from the iterable, and files read, at most `in_flight`
        batches ahead of the codes, and only while these are taken. A server that is
        full is waited for as long as it says, one that restarts for about a minute;
        what has codes already is not sent again. Leaving the loop gives up what is
        under way.

        Args:
            images: any iterable, taken once.
            backbone, layers, activation, pooling, dtype: as in `embed`.
            priority: in the time that the tenant's interactive calls leave.
            on_error: what an image does that cannot be read: "raise" ends it all with
                an error that names the image; "skip" leaves it out of `indices` and
                puts it into `refused`; a function is called with it as well.
            batch_size: most images a call; fewer where they or their codes are large.
            in_flight: calls under way at once.
            in_order: False gives batches as they are done.
            downscale: send large images as the pixels that the network sees, made here
                by the backbone's own recipe. Codes stay the same to the bit, if client
                and server decode and resize with the same release of Pillow, which this
                needs (the package pillow).
            timeout_s: of all images together; None does not bound them. Each call has
                the client's own.

        Raises:
            InvalidArgument, NotFound: as `embed`.
            FailedPrecondition: the backbone was replaced meanwhile.
            OSError: a file cannot be read (on_error="raise").
        """
        plan = BulkPlan(
            operations.embed_plan(
                backbone=backbone,
                layers=layers,
                activation=activation,
                pooling=pooling,
                dtype=dtype,
                priority=priority,
            ),
            Patience(timeout_s, met=self._transport.met),
            on_error=on_error,
            batch_size=batch_size,
            in_flight=in_flight,
            in_order=in_order,
            downscales=downscale,
        )
        require_many(images)
        return embed_many(self._transport, images, plan)
