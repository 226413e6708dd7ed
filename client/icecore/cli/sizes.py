"""Bytes as people write them: 10GB, 512MiB, 1.5 TB."""

import re
from fractions import Fraction

import click

_UNITS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtpe", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtpe", 1)},
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


def size(text: str) -> int:
    """Return a number of bytes written with a unit or without; it may be an option's type.

    Raises:
        click.BadParameter: it is none.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2].lower() not in _UNITS:
        raise click.BadParameter(f"{text!r} is no size such as 10GB, 512MiB or 0")
    return round(Fraction(found[1]) * _UNITS[found[2].lower()])


def shown(n_bytes: int) -> str:
    """Return a number of bytes with three digits and a unit: "1.25 GB"."""
    size, units = float(n_bytes), ["B", "KB", "MB", "GB", "TB", "PB", "EB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.3g} {units[0]}"
