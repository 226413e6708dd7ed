"""CodesTransformer: images in, the codes of a frozen network out, as a scikit-learn transformer."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from icecore.client.adapters.pictures import ImageShape
from icecore.client.adapters.server import Server, client_of
from icecore.client.adapters.takes_images import TakesImages
from icecore.client.client import Client
from icecore.client.input_values import ImageInput, LayerSpec
from icecore.wire.codes import TapsDiffer
from icecore.wire.taps import Activation, Pooling


class CodesTransformer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    TakesImages,
):
    """Codes of images at a layer, computed by an icecore server.

    `fit` learns nothing: it remembers which tap the codes come from, so that codes
    of a replaced backbone are refused later. Images are sent in batches, never all
    at once.

    X is a sequence of images: paths (text or `Path`), bytes of JPEG, PNG or WebP
    files, Pillow images, arrays of pixels (uint8, (h, w) or (h, w, 3)). With
    `image_shape` it may be a table too, whose rows are pictures.

    Args:
        server: an address or a `Server`; None is the data folder's, as for `Client`.
        backbone: "" is the default one.
        layer: a depth (-1 is the last) or a name; of several the codes are joined.
        activation, pooling, dtype, batch_size, in_flight, downscale: as in
            `Client.embed_many`.
        image_shape: of the picture that a row is, (h, w) or (h, w, 3); "square" is the
            smallest square that holds it. None refuses tables.
        value_range: the numbers that are black and white in a table; None takes the
            least and greatest that `fit` sees, or 0 and 255 where they are uint8.

    Attributes:
        taps_: one `TapId` a layer.
        n_features_in_: numbers a row, where X was a table.
    """

    def __init__(
        self,
        server: str | Server | None = None,
        backbone: str = "",
        layer: LayerSpec | Sequence[LayerSpec] = -1,
        *,
        activation: Activation | str = "as-trained",
        pooling: Pooling | str = "avg",
        dtype: npt.DTypeLike = "float32",
        batch_size: int = 32,
        in_flight: int = 4,
        downscale: bool = False,
        image_shape: ImageShape = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.server = server
        self.backbone = backbone
        self.layer = layer
        self.activation = activation
        self.pooling = pooling
        self.dtype = dtype
        self.batch_size = batch_size
        self.in_flight = in_flight
        self.downscale = downscale
        self.image_shape = image_shape
        self.value_range = value_range

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's own
        """Embed the first image, to know the tap and the number of features."""
        images, _ = self._images(X, is_fit=True)
        self._embed(images, n=1, is_fit=True)
        return self

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return (n, d) codes; each image is sent once."""
        images, n = self._images(X, is_fit=True)
        return self._embed(images, n=n, is_fit=True)

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """Return (n, d) codes, of `dtype`.

        Raises:
            NotFittedError: `fit` was not called.
            TapsDiffer: the backbone is not the one that `fit` saw.
            IcecoreError, OSError: as `Client.embed_many`.
        """
        check_is_fitted(self)
        images, n = self._images(X, is_fit=False)
        return self._embed(images, n=n, is_fit=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _embed(self, images: Iterable[ImageInput], *, n: int, is_fit: bool) -> npt.NDArray[Any]:
        """Return the codes of the first `n` images."""
        client: Client = client_of(self.server)
        found: npt.NDArray[Any] | None = None
        few = (image for image, _ in zip(images, range(n), strict=False))
        for batch in client.embed_many(
            few,
            backbone=self.backbone,
            layers=self.layer,
            activation=self.activation,
            pooling=self.pooling,
            dtype=self.dtype,
            batch_size=self.batch_size,
            in_flight=self.in_flight,
            downscale=self.downscale,
        ):
            flat = [one.values.reshape(len(one), -1) for one in batch.codes]
            if found is None:
                taps = tuple(one.tap for one in batch.codes)
                if is_fit:
                    self.taps_ = taps
                elif taps != self.taps_:
                    raise TapsDiffer(taps[0], self.taps_[0])
                found = np.empty((n, sum(part.shape[1] for part in flat)), flat[0].dtype)
            np.concatenate(flat, axis=1, out=found[batch.indices[0] : batch.indices[-1] + 1])
        if found is None:
            raise ValueError("X holds no images")
        self._n_features_out = found.shape[1]
        return found
