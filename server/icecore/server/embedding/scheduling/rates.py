"""How many images a second: a bucket of tokens that may go into debt."""

import math

from icecore.server.quotas import Quota

_ROUNDING_S = 1e-6
"""So much too early is in time: whoever waits exactly as long as told is not sent away again."""


class Rate:
    """The images that one tenant may send, at a quota's rate. It knows no clock of its own.

    Up to `burst` images may come at once, and they come back at `images_per_second`. A call
    of more than that is taken when nothing is owed, and all of it is then owed: the same time
    passes until the next as if its images had come one by one. So over any long time as many
    images are taken, however they are put into calls.

    Source: the generic cell rate algorithm (ITU-T I.371), whose one number is the time at
    which nothing is owed any more; it does not add up rounding errors.
    """

    def __init__(self, quota: Quota) -> None:
        self._per_second = quota.images_per_second
        self._burst = quota.burst
        self._free_at = -math.inf

    def take(self, n_images: int, now: float) -> float | None:
        """Take the images (None), or return the seconds after which they would be taken.

        Args:
            now: seconds of a clock that never goes back.
        """
        if not self._per_second:
            return None
        most_owed = max(0.0, self._burst - n_images)
        wait = self._free_at - now - most_owed / self._per_second
        if wait > _ROUNDING_S:
            return wait
        self._free_at = max(self._free_at, now) + n_images / self._per_second
        return None

    def give_back(self, n_images: int) -> None:
        """Let images that were taken and then not worked on count as not taken."""
        if self._per_second:
            self._free_at -= n_images / self._per_second

    def changed(self, quota: Quota, now: float) -> "Rate":
        """Return what follows under another quota: what is owed stays owed."""
        new = Rate(quota)
        owed = max(0.0, self._free_at - now) * self._per_second if self._per_second else 0.0
        if owed and new._per_second:
            new._free_at = now + owed / new._per_second
        return new
