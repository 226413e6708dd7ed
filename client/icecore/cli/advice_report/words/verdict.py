"""Does the network help? The verdict in a headline, a reason, and what to do about it."""

from typing import Final

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.words import baselines
from icecore.client.advice_values import Advice, Baseline, VerdictKind

HEADLINES: Final = {
    VerdictKind.POSITIVE: "Yes: the network helps with these images.",
    VerdictKind.NO_GAIN: "No: the network brings no gain that is worth its cost.",
    VerdictKind.NEGATIVE: "No: the network does worse than something simpler.",
    VerdictKind.UNDECIDED: "Not settled: these images do not tell yet whether the network helps.",
}


def is_to_be_used(advice: Advice) -> bool:
    """Return whether a probe is what to go on with."""
    return advice.verdict.kind in (VerdictKind.POSITIVE, VerdictKind.UNDECIDED)


def limiting(advice: Advice) -> Baseline | None:
    """Return the baseline that decided, None where the verdict names none."""
    named = advice.verdict.limiting
    return next((one for one in advice.verdict.baselines if one.name == named), None)


def expectation(advice: Advice) -> str:
    """Return how many new images will be named right, and what a simpler way reaches."""
    got = advice.accuracy
    right = figures.of_hundred(got.estimate)
    range_ = figures.between(got.low, got.high)
    if is_to_be_used(advice):
        return (
            f"Of 100 new images like these, expect the probe to name about {_bare(right)} right "
            f"(very likely {range_})."
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
    lead = f"{figures.signed(other.difference)} points"
    range_ = figures.signed_range(other.low, other.high)
    match advice.verdict.kind:
        case VerdictKind.POSITIVE:
            ways = "the simpler way tried" if n == 1 else f"each of the {n} simpler ways tried"
            return (
                f"The probe does better than {ways}. Its lead is least sure over {phrase}: "
                f"{lead} ({range_})."
            )
        case VerdictKind.NO_GAIN:
            return (
                f"Over {phrase}, a lead of {margin} or more is ruled out: the probe's is {lead} "
                f"({range_}). A smaller one is not worth what a network costs."
            )
        case VerdictKind.NEGATIVE:
            return (
                f"{baselines.start(phrase)} names more images right: the probe's lead is {lead} "
                f"({range_})."
            )
        case VerdictKind.UNDECIDED:
            n_beaten = sum(one.low > 0.0 for one in advice.verdict.baselines)
            beaten = f"The probe does better than {n_beaten} of the {n} simpler ways tried. "
            return (
                f"{beaten if n_beaten else ''}It is not clear whether "
                f"{'it' if n_beaten else 'the probe'} is better than {phrase}: its lead is {lead}, "
                f"and may be anything from {range_}. {baselines.told(other.name).open}"
            )


def action(advice: Advice) -> str:
    """Return what to do first."""
    other = limiting(advice)
    match advice.verdict.kind:
        case VerdictKind.POSITIVE:
            return f"Use the probe {places.used(advice.chosen, advice)}."
        case VerdictKind.UNDECIDED:
            return (
                f"The probe {places.used(advice.chosen, advice)} is worth a try, but check it "
                "on new images before you rely on it."
            )
        case VerdictKind.NO_GAIN | VerdictKind.NEGATIVE:
            instead = "" if other is None else f" {baselines.told(other.name).instead}"
            return f"Do not use this network for these images.{instead}"


def settling(advice: Advice) -> str:
    """Return how many more images would settle an open question; "" where it is settled."""
    if advice.verdict.kind is not VerdictKind.UNDECIDED:
        return ""
    more = advice.verdict.more_images
    if more is None:
        return (
            "How many more images would settle whether the network helps cannot be said from "
            "these: ask again when you have more."
        )
    return (
        f"Collect {figures.about(more, 'more labelled image')} and ask again: so many would "
        "probably settle whether the network helps."
    )


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
            return "The probe is not shown to do better than each of the simpler ways, nor worse."


def _bare(right: str) -> str:
    return right.removesuffix(" of 100")
