"""What both estimators have in common: X, as images or as a table of pictures."""

from collections.abc import Iterable
from typing import Any

from sklearn.base import BaseEstimator

from icecore.client.adapters.pictures import (
    ImageShape,
    checked_table,
    images_of,
    is_table,
    rows_of,
)
from icecore.client.input_values import ImageInput


class TakesImages(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An estimator with `image_shape` and `value_range`, and `rows_` after a table."""

    image_shape: ImageShape
    value_range: tuple[float, float] | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def _images(self, X: Any, *, is_fit: bool) -> tuple[Iterable[ImageInput], int]:
        """Return the images of X, and how many there are.

        Raises:
            ValueError: none, or what is no image.
        """
        if not is_table(X):
            images = images_of(X)
            if not images:
                raise ValueError("X holds no images")
            return images, len(images)
        table = checked_table(self, X, reset=is_fit)
        if is_fit:
            self.rows_ = rows_of(self, table)
        return self.rows_.pictures(table), len(table)
