"""What the verdict comes to for somebody who has to do something: use it, try it, leave it."""

from enum import StrEnum
from typing import Final

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.words import baselines
from icecore.client.advice_values import Advice, Baseline, VerdictKind

GOOD: Final = 0.8
"""From four of five right on, few ask what that is good for; below, the reader is asked."""


class Stance(StrEnum):
    """What to do with the probe."""

    USE = "use"
    """Better than every simpler way."""
    USABLE = "usable"
    """Better than every way without a network; whether the network's training matters is open."""
    TRY = "try"
    """Better than guessing, but a way without a network may do as well."""
    WAIT = "wait"
    """Not shown to be better than guessing."""
    OTHER_NETWORK = "other network"
    """The same network filled with random numbers does as well, or better."""
    SIMPLER = "simpler"
    """A way without a network does as well, or better."""
    NOTHING = "nothing"
    """Guessing does as well, or better."""


def stance(advice: Advice) -> Stance:
    """Return what the verdict and its baselines come to."""
    found = advice.verdict
    match found.kind:
        case VerdictKind.POSITIVE:
            return Stance.USE
        case VerdictKind.UNDECIDED:
            if not _is_beaten(advice, baselines.MAJORITY):
                return Stance.WAIT
            return Stance.USABLE if is_better_than_cheap(advice) else Stance.TRY
        case VerdictKind.NO_GAIN | VerdictKind.NEGATIVE:
            by = {
                baselines.MAJORITY: Stance.NOTHING,
                baselines.TWIN: Stance.OTHER_NETWORK,
            }
            return by.get(found.limiting, Stance.SIMPLER)


def is_to_be_used(advice: Advice) -> bool:
    """Return whether a probe is what to go on with."""
    return stance(advice) in (Stance.USE, Stance.USABLE, Stance.TRY)


def is_better_than_cheap(advice: Advice) -> bool:
    """Return whether each way without a network is shown to be beaten, and there is one."""
    cheap = [one for one in advice.verdict.baselines if one.name != baselines.TWIN]
    return bool(cheap) and all(one.low > 0.0 for one in cheap)


def limiting(advice: Advice) -> Baseline | None:
    """Return the baseline that decided, None where the verdict names none."""
    named = advice.verdict.limiting
    return next((one for one in advice.verdict.baselines if one.name == named), None)


def headline(advice: Advice) -> str:
    """Return in a sentence or two what to do, and how many images will be named right."""
    right = figures.of_hundred(advice.accuracy.estimate).removesuffix(" of 100")
    expect = f"expect about {right} of 100 new images to be named right"
    other = limiting(advice)
    phrase = "something simpler" if other is None else baselines.told(other.name).phrase
    does = "does better" if advice.verdict.kind is VerdictKind.NEGATIVE else "does about as well"
    match stance(advice):
        case Stance.USE:
            return f"Use it: {expect}, more than by any simpler way tried."
        case Stance.USABLE:
            start = (
                f"Usable, with one question open: {expect}"
                if advice.accuracy.estimate >= GOOD
                else f"Usable where about {right} of 100 new images named right is enough: that is"
            )
            comma = "," if advice.accuracy.estimate >= GOOD else ""
            return (
                f"{start}{comma} more than without a network. Whether that is owed to what the "
                "network learnt from other images is still open."
            )
        case Stance.TRY:
            return (
                f"Try it, and something simpler beside it: {expect}, but {phrase} may do as well."
            )
        case Stance.WAIT:
            return (
                "Do not rely on it yet: these images do not show that it does better than guessing."
            )
        case Stance.OTHER_NETWORK:
            return f"Try another network: {expect}, but {phrase} {does}."
        case Stance.SIMPLER:
            return f"Do without this network: {phrase} {does}."
        case Stance.NOTHING:
            return f"Do not use it: {phrase} {does}."


def _is_beaten(advice: Advice, name: str) -> bool:
    return any(one.name == name and one.low > 0.0 for one in advice.verdict.baselines)
