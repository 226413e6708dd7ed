"""Are there enough images? In words, with what three times as many would add."""

from typing import Final

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.markup import named
from icecore.cli.advice_report.words.commands import MOST_IMAGES
from icecore.cli.advice_report.words.stance import is_to_be_used
from icecore.client.advice_values import Advice, SufficiencyKind

HEADLINES: Final = {
    SufficiencyKind.COLLECT_MORE: "More images would help.",
    SufficiencyKind.ENOUGH: "There are enough images.",
    SufficiencyKind.CEILING: "More such images would hardly help, though mistakes are left.",
    SufficiencyKind.UNDECIDED: "Whether more images would help, these do not tell.",
}


def is_part(advice: Advice) -> bool:
    """Return whether images that have a label are left that an advice could look at."""
    return (
        advice.n_images < min(advice.n_labelled, MOST_IMAGES)
        and advice.sufficiency.kind is not SufficiencyKind.ENOUGH
    )


def step(advice: Advice) -> str:
    """Return what to do about the number of images."""
    found, gain = advice.sufficiency, _gain(advice)
    if is_part(advice):
        return (
            f"Only {figures.count(advice.n_images, 'image')} of the {advice.n_labelled:,} that "
            "have a label were looked at: before you collect any, ask again with "
            f"--max-images {min(advice.n_labelled, MOST_IMAGES)}."
        )
    if not is_to_be_used(advice):
        return _beside(advice)
    match found.kind:
        case SufficiencyKind.COLLECT_MORE:
            more = figures.about(found.n_more, "more labelled image")
            return (
                f"Collect {more} if you can, and train again: the probe gets better with more. "
                f"Three times as many images as today would add {gain}, and "
                f"{figures.bare_about(found.n_more)} more come within a point of that."
                f"{_weakest(advice)}"
            )
        case SufficiencyKind.ENOUGH:
            return f"You have enough images: three times as many would add {gain}."
        case SufficiencyKind.CEILING:
            return (
                f"Do not collect more images of the same kind: three times as many would add "
                f"{gain}. Look at the mistakes instead: labels may be wrong, or classes may look "
                "alike to this network. Another network may see the difference."
            )
        case SufficiencyKind.UNDECIDED:
            return (
                f"Whether more images would make the probe better is not clear: three times as "
                f"many would add {gain}. If they are cheap to get, add some and ask again."
            )


def explanation(advice: Advice) -> str:
    """Return the reason, with the probability of a gain of a point."""
    found = advice.sufficiency
    chance = figures.of_hundred(found.probability)
    return (
        f"Three times as many images would add {_gain(advice)}. In {chance} cases like this it is "
        "a point or more."
    )


def forecast(advice: Advice) -> str:
    """Return what the furthest forecast says; "" where there is none."""
    if not advice.sufficiency.forecasts:
        return ""
    last = advice.sufficiency.forecasts[-1]
    return (
        f"With {figures.count(last.n_images, 'image')}, about "
        f"{figures.of_hundred(last.estimate)} would be named right "
        f"({figures.between(last.low, last.high)})."
    )


def _beside(advice: Advice) -> str:
    """Of images where the probe is not what to go on with."""
    gain = _gain(advice)
    match advice.sufficiency.kind:
        case SufficiencyKind.COLLECT_MORE:
            return (
                f"More images would make the probe better, by {gain} with three times as many; "
                "the simpler way may gain as much. Collect them only if you want to ask again."
            )
        case SufficiencyKind.ENOUGH | SufficiencyKind.CEILING:
            return (
                f"Do not collect more images for the sake of this probe: three times as many would "
                f"add {gain}."
            )
        case SufficiencyKind.UNDECIDED:
            return (
                "Whether more images would make the probe better is not clear: three times as many "
                f"would add {gain}."
            )


def _gain(advice: Advice) -> str:
    found = advice.sufficiency
    return figures.gain(found.gain, found.gain_low, found.gain_high)


def _weakest(advice: Advice) -> str:
    weak = advice.sufficiency.weakest_classes[:3]
    if not weak:
        return ""
    names = figures.listed([named(one.label) for one in weak])
    return f" Begin with {names}, recognised least often."
