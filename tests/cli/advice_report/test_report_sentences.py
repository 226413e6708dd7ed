"""Every advice has sentences, and their figures are the advice's."""

import itertools
import re

import pytest

import advices
from icecore.cli.advice_report.words import (
    baselines,
    devices,
    mistakes,
    scenario,
    steps,
    sufficiency,
    verdict,
)
from icecore.client import Accuracy
from icecore.client.advice_values import (
    Advice,
    Confusion,
    Recommendation,
    SufficiencyKind,
    VerdictKind,
)

EVERY = list(
    itertools.product(
        VerdictKind, SufficiencyKind, Recommendation, (False, True), (*advices.BASELINES, "moon")
    )
)
"""All verdicts, kinds of sufficiency, recommendations, contradicted or not, limiting baselines."""


def plain(text: str) -> str:
    """The text without the marks that keep names to themselves."""
    return text.translate({0x2068: None, 0x2069: None, 0xA0: " "})


def told(advice: Advice) -> list[str]:
    return [
        verdict.HEADLINES[advice.verdict.kind],
        verdict.expectation(advice),
        verdict.reason(advice),
        *steps.steps(advice),
        sufficiency.HEADLINES[advice.sufficiency.kind],
        sufficiency.explanation(advice),
        sufficiency.forecast(advice),
        scenario.rule(advice),
        scenario.agreement(advice),
        scenario.likeness(advice),
        mistakes.summary(advice.confusion),
    ]


def test_every_advice_is_told_in_whole_sentences() -> None:
    for kind, enough, recommended, is_contradicted, limiting in EVERY:
        advice = advices.blood(
            verdict=advices.verdict(kind, limiting=limiting, more=310),
            sufficiency=advices.sufficiency(enough),
            scenario=advices.scenario(recommended, is_contradicted=is_contradicted),
        )
        for sentence in told(advice):
            text = plain(sentence)
            case = f"{kind}, {enough}, {recommended}, {is_contradicted}, {limiting}: {text!r}"
            assert re.match(r"[A-Z0-9]", text), f"does not begin as a sentence: {case}"
            assert text.endswith("."), f"does not end as a sentence: {case}"
            assert not re.search(r"  |None|nan|\.\.|_|[A-Z]{5,}", text), f"is no plain text: {case}"


@pytest.mark.parametrize("kind", VerdictKind)
def test_a_probe_is_advised_only_where_it_is_not_beaten(kind: VerdictKind) -> None:
    advice = advices.blood(verdict=advices.verdict(kind, more=None))
    first = steps.steps(advice)[0]
    is_beaten = kind in (VerdictKind.NO_GAIN, VerdictKind.NEGATIVE)
    assert first.startswith("Do not use") == is_beaten
    assert bool(steps.command(advice)) != is_beaten
    assert ("Use the probe at depth 21." in first) == (kind is VerdictKind.POSITIVE)


def test_undecided_says_how_many_more_images_would_decide_or_that_it_cannot_be_said() -> None:
    some = advices.blood(verdict=advices.verdict(VerdictKind.UNDECIDED, more=1_234))
    assert "Collect about 1,200 more labelled images and ask again" in verdict.settling(some)
    few = advices.blood(verdict=advices.verdict(VerdictKind.UNDECIDED, more=1))
    assert "Collect 1 more labelled image and ask again" in verdict.settling(few)
    unknown = advices.blood(verdict=advices.verdict(VerdictKind.UNDECIDED, more=None))
    assert "cannot be said" in verdict.settling(unknown)
    for kind in set(VerdictKind) - {VerdictKind.UNDECIDED}:
        assert not verdict.settling(advices.blood(verdict=advices.verdict(kind)))


def test_undecided_says_what_is_beaten_and_what_is_open() -> None:
    found = advices.verdict(VerdictKind.UNDECIDED, limiting="random twin")
    assert plain(verdict.reason(advices.blood(verdict=found))) == (
        "The probe does better than 3 of the 4 simpler ways tried. It is not clear whether it is "
        "better than the same network before it learnt anything: its lead is +1.7 points, and may "
        "be anything from \u22122.4 to +6.0. What the network learnt from other images may not "
        "matter."
    )


def test_the_top_of_the_page_on_blood_cells_reads_so() -> None:
    advice = advices.blood()
    assert plain(verdict.expectation(advice)) == (
        "Of 100 new images like these, expect the probe to name about 91 right (very likely "
        "between 82 and 96)."
    )
    assert [plain(step) for step in steps.steps(advice)] == [
        "Use the probe at depth 21.",
        "About 120 more labelled images would make the probe better: three times as many images "
        "as today would add about 3.2 points (between 1.2 and 5.5), and 120 more come within a "
        "point of that. Begin with “monocyte”, recognised least often.",
        "Look at the mistakes below and correct wrong labels. The commonest: 9 of 49 images of "
        "“eosinophil” were taken for “lymphocyte”.",
        "If it has to run on a small or slow device, use depth 12 instead: on your images it came "
        "within a point, with 479 KB instead of 1.46 MB to store and 132 million instead "
        "of 231 million multiply-adds an image.",
    ]
    assert steps.command(advice) == (
        "icecore train-probe NAME --collection blood-wbc --layer 21 --kind softmax"
    )


def test_a_beaten_probe_is_told_beside_what_beats_it() -> None:
    advice = advices.blood(verdict=advices.verdict(VerdictKind.NEGATIVE))
    assert plain(verdict.expectation(advice)) == (
        "Of 100 new images like these the probe would name about 91 right (between 82 and 96), "
        "comparing edges only (HOG) about 97 (between 88 and 100)."
    )
    assert plain(verdict.reason(advice)) == (
        "Comparing edges only (HOG) names more images right: the probe's lead is \u22126.4 points "
        "(\u221210.5 to \u22122.1)."
    )


@pytest.mark.parametrize(
    ("estimate", "told_as"),
    [(0.0, "0"), (0.001, "fewer than 1"), (0.5, "50"), (0.998, "more than 99"), (1.0, "100")],
)
def test_all_and_none_are_said_only_where_they_are_meant(estimate: float, told_as: str) -> None:
    advice = advices.blood(accuracy=Accuracy(estimate, 0.0, 1.0))
    assert f"name about {told_as} right" in verdict.expectation(advice)


def test_a_range_in_words_is_never_narrower_than_the_figures() -> None:
    advice = advices.blood(accuracy=Accuracy(0.905, 0.829, 0.9501))
    assert "between 82 and 96" in verdict.expectation(advice)


def test_the_smaller_device_is_left_out_where_the_best_place_is_the_cheapest() -> None:
    advice = advices.blood(cheapest=advices.place(21))
    assert not any("device" in step for step in steps.steps(advice))


def test_a_rule_that_the_images_contradict_is_told_as_such() -> None:
    for recommended in Recommendation:
        found = advices.scenario(recommended, is_contradicted=True)
        text = plain(scenario.agreement(advices.blood(scenario=found)))
        end = "at its end" if found.earlier_gain.value < 0.0 else "before its end"
        assert text.startswith("Your images disagree with the rule: the network serves them")
        assert f"better {end}" in text
        assert "Trust your images: what they chose is depth 21." in text
    agreeing = advices.blood(scenario=advices.scenario(Recommendation.PROBE_EARLIER))
    assert scenario.agreement(agreeing).startswith("Your images agree with the rule.")
    silent = advices.blood(scenario=advices.scenario(Recommendation.PROBE_AT_LAST))
    assert scenario.agreement(silent).startswith("Your images neither confirm the rule")


@pytest.mark.parametrize("recommended", [Recommendation.FINE_TUNE, Recommendation.FINE_TUNE_WHOLE])
def test_training_the_network_is_told_as_a_rule_that_was_not_tried(
    recommended: Recommendation,
) -> None:
    last = steps.steps(advices.blood(scenario=advices.scenario(recommended)))[-1]
    assert "rule of thumb, icecore does not do it, and it was not tried here" in last


def test_every_baseline_is_told_in_everyday_words() -> None:
    assert [baselines.told(name).phrase for name in advices.BASELINES] == [
        "always guessing the commonest class",
        "comparing raw pixels",
        "comparing edges only (HOG)",
        "the same network before it learnt anything",
    ]


def test_mistakes_are_ranked_by_images_and_counted_once() -> None:
    found = Confusion(("a", "b", "c"), ((5, 3, 0), (3, 1, 0), (1, 0, 9)), ())
    ranked = [(one.label, one.predicted, one.n, one.of) for one in mistakes.commonest(found)]
    assert ranked == [("b", "a", 3, 4), ("a", "b", 3, 8), ("c", "a", 1, 10)]
    assert mistakes.summary(found) == "7 of 22 images were named wrong."
    assert mistakes.summary(Confusion(("a", "b"), ((5, 0), (0, 5)), ())) == (
        "None of 10 images was named wrong."
    )


def test_without_a_mistake_nobody_is_sent_to_look_at_one() -> None:
    advice = advices.blood(confusion=Confusion(("a", "b"), ((5, 0), (0, 5)), ()))
    assert not any("mistakes below" in step for step in steps.steps(advice))


@pytest.mark.parametrize(
    ("n_bytes", "device"),
    [
        (2_000_000, "larger microcontroller's own memory"),
        (2_000_001, "memory chip beside it"),
        (16_000_001, "a phone or a small computer"),
    ],
)
def test_bytes_are_told_by_what_they_fit_into(n_bytes: int, device: str) -> None:
    assert device in devices.fits(n_bytes)


def test_with_several_networks_each_place_names_its_own() -> None:
    advice = advices.blood(layers=(*advices.layers(), *advices.layers("other")))
    assert plain(steps.steps(advice)[0]) == "Use the probe at depth 21 of “efficientnet-lite0”."
    assert steps.command(advice) == (
        "icecore train-probe NAME DIR --backbone efficientnet-lite0 --layer 21 --kind softmax"
    )


def test_a_hostile_collection_cannot_add_to_the_command() -> None:
    command = steps.command(advices.blood(collection_id="x; rm -rf ~"))
    assert "--collection 'x; rm -rf ~' --layer" in command


def test_a_probe_on_the_networks_own_answers_is_told_without_a_depth() -> None:
    advice = advices.blood(chosen=advices.place(None))
    assert steps.steps(advice)[0] == "Use the probe on the network's own answers."
    assert "--layer logits" in steps.command(advice)


@pytest.mark.parametrize("kind", SufficiencyKind)
def test_labelled_images_that_were_not_looked_at_come_before_new_ones(
    kind: SufficiencyKind,
) -> None:
    advice = advices.blood(n_labelled=900, sufficiency=advices.sufficiency(kind))
    said = plain(sufficiency.step(advice))
    if kind is SufficiencyKind.ENOUGH:
        assert "enough images" in said
    else:
        assert said == (
            "Only 182 images of the 900 that have a label were looked at: before you collect any, "
            "ask again with --max-images 900."
        )


def test_a_cheaper_place_that_did_as_well_is_not_called_worse() -> None:
    advice = advices.blood()
    assert "came within a point" in plain(steps.smaller(advice))
    swapped = advices.blood(chosen=advice.cheapest, cheapest=advice.chosen)
    assert "did as well" in plain(steps.smaller(swapped))
