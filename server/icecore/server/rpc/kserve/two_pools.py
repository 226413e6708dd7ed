"""Reflection over two descriptor pools: protobuf's default one, and the inference protocol's."""

from typing import Any, Final

from google.protobuf import descriptor_pool

from icecore.kserve.descriptors import POOL

_POOLS: Final = (descriptor_pool.Default(), POOL)


class TwoPools:
    """The part of a pool that reflection asks; each question goes to the pool that knows."""

    def FindFileByName(self, name: str) -> Any:  # noqa: N802 - protobuf's
        return self._first("FindFileByName", name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - protobuf's
        return self._first("FindFileContainingSymbol", symbol)

    def FindMessageTypeByName(self, name: str) -> Any:  # noqa: N802 - protobuf's
        return self._first("FindMessageTypeByName", name)

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:  # noqa: N802 - protobuf's
        return message.file.pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Any) -> Any:  # noqa: N802 - protobuf's
        return message.file.pool.FindAllExtensions(message)

    def _first(self, method: str, name: str) -> Any:
        """Raises KeyError: no pool knows it."""
        *others, last = _POOLS
        for pool in others:
            try:
                return getattr(pool, method)(name)
            except KeyError:
                continue
        return getattr(last, method)(name)
