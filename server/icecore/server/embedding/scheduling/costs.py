"""What an image will cost, in milliseconds of one core, learned from those that ran.

A pass is known by backbone and deepest layer, reading an image by its kind and its size.
What was never seen is guessed from multiply-accumulates and megapixels. Guesses are made
on the event loop and corrected from worker threads; a correction lost between two of them
does no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.embedding.decoding import LIMITS
from icecore.server.embedding.headers import read_header
from icecore.server.embedding.images import Encoded, ImageInput, Pixels
from icecore.server.embedding.scheduling.pieces import Ran
from icecore.wire.taps import TapId

FIRST_MS_A_MAC: Final = 1.5e-8
"""67 thousand million a second: a core of 2020 does 40 to 120."""

FIRST_MS_A_MEGAPIXEL: Final = {"JPEG": 12.0, "PNG": 25.0, "WEBP": 25.0, "pixels": 4.0}
_OTHER_MS_A_MEGAPIXEL: Final = 1.0

_RESIZED: Final = 0.1
"""Megapixels that every image costs beside its own: those of the network's input."""

_MOST_WRONG: Final = 4.0
"""A sample counts as at most so many times the mean, nor less."""

_QUICKEST: Final = 0.1
"""Weight of the newest sample; the first ten count alike."""

_LOOKED_AT: Final = 16
"""Images of a call whose size is looked at."""

_MOST_KNOWN: Final = 4096


class Mean:
    """A mean that forgets: about the last twenty samples."""

    __slots__ = ("_n", "value")

    def __init__(self, value: float) -> None:
        self.value = value
        self._n = 0

    def learn(self, sample: float) -> None:
        """Take a sample; one far off the mean counts as less far."""
        self._n += 1
        near = min(max(sample, self.value / _MOST_WRONG), self.value * _MOST_WRONG)
        self.value += max(1 / (self._n + 1), _QUICKEST) * (near - self.value)


@dataclass(frozen=True, slots=True)
class Guess:
    """What one image at some taps is expected to cost, and where it learns what it did."""

    a_pass: Mean
    a_megapixel: Mean
    megapixels: float
    a_mac: Mean
    macs: int

    @property
    def cost_ms(self) -> float:
        return self.a_pass.value + self.a_megapixel.value * self.megapixels

    def learn(self, ran: Ran) -> None:
        self.a_megapixel.learn(ran.decode_cpu_ms / self.megapixels)
        self.a_pass.learn(ran.pass_cpu_ms)
        if self.macs:
            self.a_mac.learn(ran.pass_cpu_ms / self.macs)


class Costs:
    """The means of what was seen.

    Args:
        max_pixels: of an image; one whose header says more is refused by that, unread.
    """

    def __init__(self, *, max_pixels: int = LIMITS.max_pixels) -> None:
        self._max_pixels = max_pixels
        self._a_mac = Mean(FIRST_MS_A_MAC)
        self._passes: dict[tuple[str, str], Mean] = {}
        self._megapixels: dict[str, Mean] = {}

    def guess(self, backbone: Backbone, taps: Sequence[TapId], image: ImageInput) -> Guess:
        """Return what an image at some taps of a backbone is expected to cost."""
        deepest = max((backbone.layer_of(tap) for tap in taps), key=lambda one: one.macs)
        key = (backbone.digest, deepest.name)
        a_pass = self._passes.get(key)
        if a_pass is None:
            if len(self._passes) >= _MOST_KNOWN:
                self._passes.clear()
            a_pass = self._passes[key] = Mean(max(0.05, deepest.macs * self._a_mac.value))
        kind, megapixels = _seen(image, self._max_pixels)
        a_megapixel = self._megapixels.get(kind)
        if a_megapixel is None:
            first = FIRST_MS_A_MEGAPIXEL.get(kind, _OTHER_MS_A_MEGAPIXEL)
            a_megapixel = self._megapixels[kind] = Mean(first)
        return Guess(a_pass, a_megapixel, megapixels + _RESIZED, self._a_mac, deepest.macs)

    def mean_ms(
        self, backbone: Backbone, taps: Sequence[TapId], images: Sequence[ImageInput]
    ) -> float:
        """Return what one of the images is expected to cost, from a few of them."""
        some = images[:: -(-len(images) // _LOOKED_AT)]
        return sum(self.guess(backbone, taps, one).cost_ms for one in some) / len(some)


def _seen(image: ImageInput, max_pixels: int) -> tuple[str, float]:
    """The kind of an image and its megapixels, from its first bytes; of none but what is read."""
    if isinstance(image, Encoded):
        header = read_header(image.data)
        if header is None:
            return "none", 0.0
        n_pixels = header.width * header.height
        return header.format, n_pixels / 1e6 if n_pixels <= max_pixels else 0.0
    height, width = image.array.shape[:2] if isinstance(image, Pixels) else image.array.shape[1:3]
    return "pixels" if isinstance(image, Pixels) else "prepared", height * width / 1e6
