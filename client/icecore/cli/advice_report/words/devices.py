"""What runs a network of some size: memory and work in words, without a promise of speed."""

from typing import Final

from icecore.cli.advice_report import figures
from icecore.client.advice_values import LayerAdvice

MICROCONTROLLER: Final = 2_000_000
"""Bytes of flash inside the larger microcontrollers, such as STM32F4, F7 and H7: 1 to 2 MB."""

WITH_FLASH: Final = 16_000_000
"""Bytes of flash beside one on common modules, such as ESP32-S3's: 4 to 16 MB."""

SLOW_CHIP: Final = 100_000_000
"""Multiply-adds a second, for a sum that readers can redo for their own chip."""


def fits(n_bytes: int) -> str:
    """Return the smallest kind of device whose storage takes so many bytes."""
    if n_bytes <= MICROCONTROLLER:
        return "into a larger microcontroller's own memory (up to 2 MB)"
    if n_bytes <= WITH_FLASH:
        return "a microcontroller with a memory chip beside it (up to 16 MB)"
    return "a phone or a small computer"


def cost(layer: LayerAdvice) -> str:
    """Return what a network up to this layer takes, and where that fits."""
    time = figures.seconds(layer.macs / SLOW_CHIP)
    return (
        f"{figures.memory(layer.n_bytes)} to store, which fits {fits(layer.n_bytes)}; "
        f"{figures.work(layer.macs)} multiply-adds an image, so {time} on a chip that does "
        f"{figures.work(SLOW_CHIP)} a second"
    )
