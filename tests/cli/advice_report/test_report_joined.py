"""Several layers read together: offered where they are shown to be better, and only there."""

from dataclasses import replace

import pytest

import advices
from icecore.cli.advice_report.words import joined, steps
from icecore.cli.advice_report.words.commands import training
from icecore.client import Accuracy, Difference
from icecore.client.advice_values import Advice, JoinedAdvice, VerdictKind


def advice(low: float, estimate: float, high: float) -> Advice:
    found = JoinedAdvice(
        (advices.place(12), advices.place(33)),
        Accuracy(0.907 + estimate, 0.85, 0.98),
        Difference(estimate, low, high),
    )
    return advices.blood(joined=found)


def test_what_is_surely_better_is_the_first_step() -> None:
    offered = advice(0.004, 0.041, 0.08)
    assert joined.told(offered) == (
        "Read together, 2 layers named 4.1 more of 100 images right than a single one, chosen, "
        "and with other images it could be anything from 0.4 more to 8 more: that is better."
    )
    first = steps.steps(offered)[0]
    assert "several layers read together, which should name about 95 of 100 right" in first.text
    assert first.commands[0] == training(offered)
    assert training(offered).split()[-2:] == ["--layer", "all"]


@pytest.mark.parametrize(
    ("low", "estimate", "high", "end"),
    [
        (-0.01, 0.041, 0.08, "one is enough until more is known."),
        (-0.09, -0.05, -0.01, "one is better."),
    ],
)
def test_what_is_not_is_told_and_not_offered(
    low: float, estimate: float, high: float, end: str
) -> None:
    open_ = advice(low, estimate, high)
    assert joined.told(open_).endswith(end)
    assert training(open_).split()[-2:] == ["--layer", "21"]


def test_of_one_layer_there_is_nothing_to_join() -> None:
    assert joined.told(advices.blood()) == ""


def test_until_there_is_another_network_the_joined_probe_is_told_in_one_breath() -> None:
    """And the command beside it trains what the sentence says."""
    verdict = advices.verdict(VerdictKind.NO_GAIN, limiting="random twin")
    found = replace(advice(0.004, 0.041, 0.08), verdict=verdict)
    meanwhile = steps.steps(found)[1]
    assert meanwhile.text == (
        "Until you have one, the probe over several layers read together is still better than the "
        "ways without a network."
    )
    assert "--layer all" in meanwhile.commands[0]
