"""Numbers as a reader without statistics takes them in: of a hundred images, points, about."""

from math import floor, log10

from icecore.cli import sizes
from icecore.client import Accuracy

_FEW = 20
"""Fewer are told to the last one."""


def of_hundred(share: float) -> str:
    """Return "91 of 100"; all and none are said only where they are meant."""
    whole = round(100 * share)
    if whole == 100 and share < 1.0:
        return "more than 99 of 100"
    if whole == 0 and share > 0.0:
        return "fewer than 1 of 100"
    return f"{whole} of 100"


def between(low: float, high: float) -> str:
    """Return "between 84 and 96", of a hundred, widened to whole ones."""
    return f"between {floor(100 * low + 1e-9)} and {-floor(-100 * high + 1e-9)}"


def percent(share: float) -> str:
    """Return "91.2 %", which no line end takes apart."""
    return f"{100 * share:.1f}\u00a0%"


def percent_range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}\u00a0%"


def with_range(accuracy: Accuracy) -> str:
    """Return "91.2 % (84.4 to 95.6 %)"."""
    return f"{percent(accuracy.estimate)} ({percent_range(accuracy.low, accuracy.high)})"


def signed(difference: float) -> str:
    """Return a difference of accuracies in points, with its sign: "+3.2"."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\u2212")


def points(difference: float) -> str:
    """Return "3.2 points", "2 points" or "1 point", without a sign."""
    text = f"{abs(100 * difference):.1f}".removesuffix(".0")
    return f"{text} {'point' if text == '1' else 'points'}"


def gain(estimate: float, low: float, high: float) -> str:
    """Return "about 3.2 points (between 1.2 and 5.5)"; signs only where one is negative."""
    shown = [signed(value) for value in (estimate, low, high)]
    if min(estimate, low, high) >= 0.0:
        shown = [text.lstrip("+") for text in shown]
    unit = "point" if shown[0].lstrip("+") == "1.0" else "points"
    return f"about {shown[0]} {unit} (between {shown[1]} and {shown[2]})"


def more_right(difference: float) -> str:
    """Return a difference of accuracies as "6.8 more of 100 images right"."""
    n = _more(difference)
    return f"{n} of 100 images right"


def from_to(low: float, high: float) -> str:
    """Return the range of one: "anything from 2.1 fewer to 15.3 more"."""
    return f"anything from {_more(low)} to {_more(high)}"


def _more(difference: float) -> str:
    text = f"{abs(100 * difference):.1f}".removesuffix(".0")
    if text == "0":
        return "as many"
    return f"{text} {'more' if difference > 0.0 else 'fewer'}"


def signed_range(low: float, high: float) -> str:
    """Return "+1.3 to +7.0"."""
    return f"{signed(low)} to {signed(high)}"


def count(n: int, noun: str, plural: str = "") -> str:
    """Return "1 image" or "1,200 images"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def about(n: int, noun: str) -> str:
    """Return "about 120 images": two digits, for the rest is not known."""
    return f"{'about ' if n >= _FEW else ''}{count(_two_digits(n), noun)}"


def bare_about(n: int) -> str:
    """Return the same number alone: "120"."""
    return f"{_two_digits(n):,}"


def _two_digits(n: int) -> int:
    unit: int = 10 ** (int(log10(n)) - 1) if n >= _FEW else 1
    return round(n / unit) * unit


def memory(n_bytes: int) -> str:
    return sizes.shown(n_bytes)


def work(macs: int) -> str:
    """Return "276 million", of multiply-adds."""
    for unit, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if macs >= 0.9995 * unit:
            return f"{macs / unit:.3g} {word}"
    return f"{macs:,}"


def seconds(value: float) -> str:
    """Return a time with two digits: "0.38 seconds", "12 seconds", "5 minutes"."""
    if value >= 90:
        return count(round(value / 60), "minute")
    if value >= 9.95:
        return count(round(value), "second")
    text = f"{value:.2g}"
    return f"{text} second" if text == "1" else f"{text} seconds"


def listed(words: list[str]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
