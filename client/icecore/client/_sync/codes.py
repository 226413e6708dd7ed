"""Client's calls that turn images into codes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy.typing as npt

from icecore.client._batches import Batcher
from icecore.client._operations import codes as operations
from icecore.client._operations.places import image_bytes
from icecore.client._sync.calls import Calls
from icecore.client._sync.transport import batched
from icecore.client.values import ImageInput, LayerSpec
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
            timeout_s: deadline in place of the client's.

        Raises:
            InvalidArgument: an image, pooling or dtype that cannot be, or too many images.
            NotFound: no such backbone or layer; the sentence lists near ones.
            OSError: a file cannot be read.
        """
        plan = operations.embed_plan(
            backbone=backbone, layers=layers, activation=activation, pooling=pooling, dtype=dtype
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
            backbone=backbone, layers=layers, activation=activation, pooling=pooling, dtype=dtype
        )
        batcher = Batcher[ImageInput](image_bytes, batch_size=batch_size)
        requests = batched(images, batcher, plan.embed_stream)
        return self._transport.exchange(requests, timeout_s)
