"""The rule of thumb for images like these, and whether these images agree with it."""

from typing import Final

from icecore.cli.advice_report import figures, places
from icecore.client.advice_values import Advice, Recommendation, Similarity, Size

SIZES: Final = {
    Size.SMALL: "few images",
    Size.LARGE: "many images",
}

SIMILARITIES: Final = {
    Similarity.SIMILAR: "like those the network learnt from",
    Similarity.PARTLY: "partly like those the network learnt from, or it cannot be told",
    Similarity.DIFFERENT: "unlike those the network learnt from",
}

RULES: Final = {
    Recommendation.PROBE_AT_LAST: (
        "keep the network as it is and read it at its end, where it tells most about images like "
        "its own"
    ),
    Recommendation.PROBE_AT_ANY: (
        "keep the network as it is and read it at the depth that your own images prefer"
    ),
    Recommendation.PROBE_EARLIER: (
        "keep the network as it is and read it before its end, for its last layers are made for "
        "other images"
    ),
    Recommendation.FINE_TUNE: (
        "train the network itself a little further on your images (“fine-tuning”)"
    ),
    Recommendation.FINE_TUNE_WHOLE: (
        "train all of the network further on your images, or a new one from scratch"
    ),
}

_TRAINING: Final = (Recommendation.FINE_TUNE, Recommendation.FINE_TUNE_WHOLE)
_EARLIER: Final = Recommendation.PROBE_EARLIER
_ENDS: Final = (Recommendation.PROBE_AT_LAST, _EARLIER)


def rule(advice: Advice) -> str:
    """Return which cell of the two by two it is, and what the rule of thumb says there."""
    found = advice.scenario
    text = (
        f"A rule of thumb goes by how many images there are and how much they are like those the "
        f"network learnt from. Here: {SIZES[found.size]}, {SIMILARITIES[found.similarity]}. For "
        f"that it says: {RULES[found.recommendation]}."
    )
    if found.recommendation in _TRAINING:
        text += " icecore trains probes only, so this was not tried."
    return text


def agreement(advice: Advice) -> str:
    """Return whether the images agree with the rule, with what was measured."""
    found = advice.scenario
    gain = found.earlier_gain
    best = (
        f"Beside the last layer the best earlier one named {figures.more_right(gain.value)}, and "
        f"with other images it could be {figures.from_to(gain.low, gain.high)}"
    )
    if found.is_contradicted:
        end = "before its end" if gain.value > 0.0 else "at its end"
        return (
            f"Your images disagree with the rule: the network serves them better {end}. {best}. "
            f"Trust your images: what they chose is {places.told(advice.chosen, advice)}."
        )
    if found.recommendation not in _ENDS:
        return f"{best}."
    agrees = gain.low > 0.0 if found.recommendation is _EARLIER else gain.high < 0.0
    words = "agree with the rule" if agrees else "neither confirm the rule nor contradict it"
    return f"Your images {words}. {best}."


def likeness(advice: Advice) -> str:
    """Return how likeness was measured; "" where it was not."""
    seen = advice.scenario.familiarity
    if seen is None:
        return ""
    return (
        "How alike they are was measured by how sure the network is of what it sees. On a scale on "
        f"which images like its own give 100, yours give {_scaled(seen.value)} "
        f"({figures.between(seen.low, seen.high)})."
    )


def step(advice: Advice) -> str:
    """Return what to try beyond a probe; "" where the rule names none."""
    match advice.scenario.recommendation:
        case Recommendation.FINE_TUNE:
            return (
                "With this many images it may pay to train the network itself a little further "
                "(“fine-tuning”). That is a rule of thumb, icecore does not do it, and it was not "
                "tried here."
            )
        case Recommendation.FINE_TUNE_WHOLE:
            return (
                "With this many images, so unlike those the network learnt from, it may pay to "
                "train all of it further, or a new one from scratch. That is a rule of thumb, "
                "icecore does not do it, and it was not tried here."
            )
        case _:
            return ""


def _scaled(share: float) -> str:
    return f"about {round(100 * share)}"
