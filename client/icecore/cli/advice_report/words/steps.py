"""What to do: three steps at most, with the commands that do them, and what else there is."""

from dataclasses import dataclass
from typing import Final

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.words import (
    baselines,
    commands,
    joined,
    mistakes,
    scenario,
    sufficiency,
    verdict,
)
from icecore.cli.advice_report.words.commands import UNKNOWN, Origin
from icecore.cli.advice_report.words.stance import (
    Stance,
    is_better_than_cheap,
    is_to_be_used,
    limiting,
    stance,
)
from icecore.client.advice_values import Advice, SufficiencyKind

MOST_STEPS: Final = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, in a sentence or two, and the commands that do it."""

    text: str
    commands: tuple[str, ...] = ()


def steps(advice: Advice, origin: Origin = UNKNOWN) -> list[Step]:
    """Return what to do, in order, `MOST_STEPS` at most."""
    is_enough = advice.sufficiency.kind is SufficiencyKind.ENOUGH
    images = Step("") if is_enough else _images(advice, origin)
    look = Step(mistakes.step(advice))
    match stance(advice):
        case Stance.USE | Stance.USABLE:
            found = [_train(advice, origin), images, look]
        case Stance.TRY:
            found = [_train(advice, origin), _settle(advice, origin), look]
        case Stance.WAIT:
            found = [_settle(advice, origin), Step(baselines.told(baselines.MAJORITY).instead)]
        case Stance.OTHER_NETWORK:
            found = [_another(advice, origin, _instead(advice))]
            if is_better_than_cheap(advice):
                found.append(_meanwhile(advice, origin))
        case Stance.SIMPLER:
            also = "Or judge another network, best one that was trained on images more like yours."
            found = [Step(_instead(advice)), _another(advice, origin, also)]
        case Stance.NOTHING:
            also = "If both are fine, judge another network."
            found = [Step(_instead(advice)), _another(advice, origin, also)]
    return [one for one in found if one.text][:MOST_STEPS]


def further(advice: Advice) -> list[str]:
    """Return what else can be done, which the steps leave out."""
    now, is_enough = stance(advice), advice.sufficiency.kind is SufficiencyKind.ENOUGH
    found = [
        _curious(advice) if now is Stance.USABLE else "",
        sufficiency.step(advice) if is_enough or now not in (Stance.USE, Stance.USABLE) else "",
        smaller(advice) if is_to_be_used(advice) else "",
        scenario.step(advice),
    ]
    return [one for one in found if one]


def _curious(advice: Advice) -> str:
    """What would settle the open question, to those who have to know."""
    text = verdict.settling(advice)
    return f"Only if you have to know why it works: {text[0].lower()}{text[1:]}" if text else ""


def smaller(advice: Advice) -> str:
    """Return what to do on a small device; "" where the best place is also the cheapest."""
    if advice.cheapest == advice.chosen:
        return ""
    best, cheap = places.at(advice, advice.chosen), places.at(advice, advice.cheapest)
    if best is None or cheap is None:
        return ""
    did = (
        "did as well"
        if cheap.accuracy.estimate >= best.accuracy.estimate
        else "came within a point"
    )
    return (
        f"If it has to run on a small or slow device, use {places.told(cheap.place, advice)} "
        f"instead: on your images it {did}, with "
        f"{figures.memory(cheap.n_bytes)} instead of {figures.memory(best.n_bytes)} to store and "
        f"{figures.work(cheap.macs)} instead of {figures.work(best.macs)} multiply-adds an image."
    )


def _train(advice: Advice, origin: Origin) -> Step:
    where = _where(advice)
    text = (
        f"Train the probe, a small classifier, {where}; then let it name new images, files or "
        "folders."
    )
    if stance(advice) is Stance.TRY:
        text += " Check its answers before you rely on them."
    return Step(text, (commands.training(advice, origin), commands.predicting(advice, origin)))


def _where(advice: Advice) -> str:
    """Where the command that trains reads: at the chosen place, or over all that are offered."""
    if advice.joined is None or not joined.is_offered(advice):
        return places.used(advice.chosen, advice)
    right = figures.of_hundred(advice.joined.accuracy.estimate).removesuffix(" of 100")
    return (
        f"over several layers read together, which should name about {right} of 100 right, more "
        "than over any one of them"
    )


def _meanwhile(advice: Advice, origin: Origin) -> Step:
    where = (
        "over several layers read together"
        if joined.is_offered(advice)
        else places.used(advice.chosen, advice)
    )
    text = f"Until you have one, the probe {where} is still better than the ways without a network."
    return Step(text, (commands.training(advice, origin),))


def _images(advice: Advice, origin: Origin) -> Step:
    text = sufficiency.step(advice)
    if sufficiency.is_part(advice):
        again = commands.asking_again(advice, origin, max_images=advice.n_labelled)
        return Step(text, (again,))
    return Step(text)


def _settle(advice: Advice, origin: Origin) -> Step:
    if sufficiency.is_part(advice):
        return _images(advice, origin)
    return Step(verdict.settling(advice), (commands.asking_again(advice, origin),))


def _another(advice: Advice, origin: Origin, text: str) -> Step:
    how = " The first command lists those there are; “icecore backbones add” brings more."
    return Step(f"{text}{how}", commands.asking_another(advice, origin))


def _instead(advice: Advice) -> str:
    other = limiting(advice)
    if other is None:
        return "Do not use this network for these images."
    return baselines.told(other.name).instead
