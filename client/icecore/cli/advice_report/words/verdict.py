"""Does the network help? The verdict in words, what to expect of the probe, and why."""

from typing import Final

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.words import baselines
from icecore.cli.advice_report.words.stance import is_to_be_used, limiting
from icecore.client.advice_values import Advice, VerdictKind

MEANINGS: Final = {
    VerdictKind.POSITIVE: "the network does better than each of the simpler ways.",
    VerdictKind.NO_GAIN: "the network brings no gain that is worth its cost.",
    VerdictKind.NEGATIVE: "the network does worse than something simpler.",
    VerdictKind.UNDECIDED: (
        "these images do not tell yet whether the network does better than each simpler way."
    ),
}
"""What the verdict's word stands for."""


def expectation(advice: Advice) -> str:
    """Return how many new images will be named right, and what a simpler way reaches."""
    got = advice.accuracy
    right = figures.of_hundred(got.estimate)
    range_ = figures.between(got.low, got.high)
    if is_to_be_used(advice):
        return (
            f"Of 100 new images like these, expect the probe to name about {_bare(right)} right "
            f"(very likely {range_}).{_cheap(advice)}"
        )
    other = limiting(advice)
    text = f"Of 100 new images like these the probe would name about {_bare(right)} right ({range_}"
    if other is None:
        return f"{text})."
    phrase = baselines.told(other.name).phrase
    theirs = _bare(figures.of_hundred(other.accuracy.estimate))
    their_range = figures.between(other.accuracy.low, other.accuracy.high)
    return f"{text}), {phrase} about {theirs} ({their_range})."


def reason(advice: Advice) -> str:
    """Return why the verdict is what it is, with the lead over the baseline that decided."""
    other, margin = limiting(advice), figures.points(advice.verdict.margin)
    n = len(advice.verdict.baselines)
    if other is None:
        return _unnamed(advice)
    phrase = baselines.told(other.name).phrase
    lead = figures.more_right(other.difference)
    range_ = figures.from_to(other.low, other.high)
    match advice.verdict.kind:
        case VerdictKind.POSITIVE:
            ways = "the simpler way tried" if n == 1 else f"each of the {n} simpler ways tried"
            return (
                f"The probe does better than {ways}. The closest is {phrase}: the probe named "
                f"{lead}, and with other images it could be {range_}."
            )
        case VerdictKind.NO_GAIN:
            return (
                f"{baselines.start(phrase)} does about as well: the probe named {lead}, and with "
                f"other images it could be {range_}. A lead of {margin} or more is ruled out, and "
                "a smaller one is not worth what a network costs."
            )
        case VerdictKind.NEGATIVE:
            return (
                f"{baselines.start(phrase)} names more images right: the probe named {lead}, "
                f"and with other images it could be {range_}."
            )
        case VerdictKind.UNDECIDED:
            n_beaten = sum(one.low > 0.0 for one in advice.verdict.baselines)
            beaten = f"The probe does better than {n_beaten} of the {n} simpler ways tried. "
            return (
                f"{beaten if n_beaten else ''}It is not clear whether "
                f"{'it' if n_beaten else 'the probe'} is better than {phrase}: it named {lead}, "
                f"but with other images it could be {range_}. {baselines.told(other.name).open}"
            )


def settling(advice: Advice) -> str:
    """Return how many more images would settle an open question; "" where it is settled."""
    if advice.verdict.kind is not VerdictKind.UNDECIDED:
        return ""
    more, other = advice.verdict.more_images, limiting(advice)
    than = "each simpler way" if other is None else baselines.told(other.name).phrase
    whether = f"whether the probe is better than {than}"
    if more is None:
        return (
            f"How many more images would settle {whether} cannot be said from these: ask again "
            "when you have more."
        )
    return (
        f"Collect {figures.about(more, 'more labelled image')} and ask again: so many would "
        f"probably settle {whether}."
    )


def _cheap(advice: Advice) -> str:
    """What the best way without a network reaches."""
    ways = [one for one in advice.verdict.baselines if one.name != baselines.TWIN]
    if not ways:
        return ""
    best = max(ways, key=lambda one: one.accuracy.estimate)
    theirs = _bare(figures.of_hundred(best.accuracy.estimate))
    phrase = baselines.told(best.name).phrase
    return f" The best way without a network, {phrase}, named {theirs} of 100 right."


def _unnamed(advice: Advice) -> str:
    """The reason where the verdict names no baseline among those it lists."""
    match advice.verdict.kind:
        case VerdictKind.POSITIVE:
            return "The probe does better than each of the simpler ways tried."
        case VerdictKind.NO_GAIN:
            return "Over one of the simpler ways tried no lead is left that is worth a network."
        case VerdictKind.NEGATIVE:
            return "One of the simpler ways tried names more images right."
        case VerdictKind.UNDECIDED:
            return (
                "These images do not tell yet whether the probe does better than each simpler way."
            )


def _bare(right: str) -> str:
    return right.removesuffix(" of 100")
