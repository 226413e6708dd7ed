"""How much may wait; the door refuses more."""

from collections.abc import Iterator
from contextlib import contextmanager

from icecore.server.errors import Overloaded


class Bounds:
    """Counts the images in the house. Lives on one event loop."""

    def __init__(self, max_images: int) -> None:
        self._max_images = max_images
        self._n_images = 0

    @contextmanager
    def take(self, n_images: int) -> Iterator[None]:
        """Hold room for some images.

        Raises:
            Overloaded: there is not enough.
        """
        if self._n_images + n_images > self._max_images:
            raise Overloaded(
                f"{self._n_images} images are waiting and {n_images} more would pass the limit "
                f"of {self._max_images}; try again later or send fewer at once",
                retry_after_s=1.0,
            )
        self._n_images += n_images
        try:
            yield
        finally:
            self._n_images -= n_images
