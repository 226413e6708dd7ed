"""What this machine's processor can do that changes which int8 kernels are fast."""

from functools import lru_cache
from pathlib import Path
from platform import machine

_CPUINFO = Path("/proc/cpuinfo")


def has_vnni() -> bool:
    """Whether it multiplies 8-bit integers four at a time (AVX512-VNNI or AVX-VNNI)."""
    return not _flags().isdisjoint(("avx512_vnni", "avx_vnni"))


def saturates() -> bool:
    """Whether ONNX Runtime's products of uint8 and int8 may end at 16 bits: x86 without VNNI."""
    return machine().lower() in ("x86_64", "amd64") and not has_vnni()


def has_int8_tiles() -> bool:
    """Whether it has AMX for 8-bit integers."""
    return "amx_int8" in _flags()


@lru_cache(maxsize=1)
def _flags() -> frozenset[str]:
    """The processor's features as Linux names them; none where it does not say."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(
        flag
        for line in lines
        if line.startswith("flags")
        for flag in line.partition(":")[2].split()
    )
