"""Every advice has sentences, and their figures are the advice's."""

import itertools
import re
from dataclasses import replace

import pytest

import advices
from icecore.cli.advice_report import places
from icecore.cli.advice_report.words import (
    baselines,
    commands,
    devices,
    mistakes,
    scenario,
    standing,
    steps,
    sufficiency,
    verdict,
)
from icecore.cli.advice_report.words.commands import Origin
from icecore.cli.advice_report.words.stance import Stance, headline, is_to_be_used, stance
from icecore.client import Accuracy, ProbeKind
from icecore.client.advice_values import (
    Advice,
    Confusion,
    Recommendation,
    SufficiencyKind,
    VerdictKind,
)
from icecore.server.training.advising import request

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
        headline(advice),
        standing.told(advice),
        verdict.expectation(advice),
        verdict.reason(advice),
        *(step.text for step in steps.steps(advice)),
        *steps.further(advice),
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


STANCES = {
    (VerdictKind.POSITIVE, "hog"): Stance.USE,
    (VerdictKind.UNDECIDED, "random twin"): Stance.USABLE,
    (VerdictKind.UNDECIDED, "pixels"): Stance.TRY,
    (VerdictKind.UNDECIDED, "hog"): Stance.TRY,
    (VerdictKind.UNDECIDED, "majority"): Stance.WAIT,
    (VerdictKind.NO_GAIN, "random twin"): Stance.OTHER_NETWORK,
    (VerdictKind.NEGATIVE, "hog"): Stance.SIMPLER,
    (VerdictKind.NO_GAIN, "majority"): Stance.NOTHING,
}


def of_kind(kind: VerdictKind, limiting: str, *, more: int | None = None) -> Advice:
    return advices.blood(verdict=advices.verdict(kind, limiting=limiting, more=more))


@pytest.mark.parametrize(("kind", "limiting"), STANCES)
def test_what_to_do_goes_by_the_verdict_and_by_what_it_rests_on(
    kind: VerdictKind, limiting: str
) -> None:
    advice = of_kind(kind, limiting)
    expected = STANCES[kind, limiting]
    assert stance(advice) is expected
    first = steps.steps(advice)[0]
    assert ("at depth 21; then let it name new images" in first.text) == is_to_be_used(advice)
    trains = any("train-probe" in one for step in steps.steps(advice) for one in step.commands)
    # Better than all that needs no network, it is of use until there is another network.
    assert trains == (is_to_be_used(advice) or expected is Stance.OTHER_NETWORK)


def test_a_good_probe_is_called_usable_where_only_the_random_twin_is_open() -> None:
    assert headline(of_kind(VerdictKind.UNDECIDED, "random twin")) == (
        "Usable, with one question open: expect about 91 of 100 new images to be named right, more "
        "than without a network. Whether that is owed to what the network learnt from other images "
        "is still open."
    )


@pytest.mark.parametrize("kind", VerdictKind)
@pytest.mark.parametrize("limiting", advices.BASELINES)
def test_what_is_said_of_each_simpler_way_agrees_with_the_verdict(
    kind: VerdictKind, limiting: str
) -> None:
    advice = of_kind(kind, limiting)
    said = {one.name: standing.answer(advice, one) for one in advice.verdict.baselines}
    others = {answer for name, answer in said.items() if name != limiting}
    assert others == {standing.YES}, "of what is clearly beaten"
    assert (
        said[limiting]
        == {
            VerdictKind.POSITIVE: standing.YES,
            VerdictKind.NO_GAIN: "not by 2 points or more",
            VerdictKind.NEGATIVE: standing.NO,
            VerdictKind.UNDECIDED: standing.OPEN,
        }[kind]
    )


@pytest.mark.parametrize(
    ("kind", "high", "answer"),
    [
        (VerdictKind.NEGATIVE, -0.01, standing.NO),
        (VerdictKind.NEGATIVE, 0.01, "not by 2 points or more"),
        (VerdictKind.NEGATIVE, 0.05, standing.OPEN),
        (VerdictKind.NO_GAIN, 0.01, "not by 2 points or more"),
        (VerdictKind.NO_GAIN, 0.05, standing.OPEN),
        (VerdictKind.UNDECIDED, -0.01, standing.OPEN),
    ],
)
def test_a_verdict_against_the_probe_may_be_so_for_a_second_way(
    kind: VerdictKind, high: float, answer: str
) -> None:
    advice = of_kind(kind, "hog")
    pixels = replace(advice.verdict.baselines[1], low=-0.2, high=high)
    assert pixels.name == "pixels"
    assert standing.answer(advice, pixels) == answer


def test_what_is_open_is_told_beside_what_is_not() -> None:
    assert standing.told(of_kind(VerdictKind.UNDECIDED, "random twin")) == (
        "Still open. Better than always guessing the commonest class, comparing raw pixels and "
        "comparing edges only (HOG): yes. Better than the same network before it learnt anything: "
        "not sure yet."
    )
    assert standing.told(of_kind(VerdictKind.UNDECIDED, "majority")).endswith(
        ": yes. Better than always guessing the commonest class: not sure yet."
    ), "what is beaten comes first"


def test_a_way_that_seems_better_is_no_verdict() -> None:
    """One bound of many may lie below 0 while the verdict, which counts them, is undecided."""
    found = of_kind(VerdictKind.UNDECIDED, "hog")
    seems = tuple(
        replace(one, low=-0.2, high=-0.01) if one.name == "hog" else one
        for one in found.verdict.baselines
    )
    advice = replace(found, verdict=replace(found.verdict, baselines=seems))
    assert standing.answer(advice, seems[2]) == standing.OPEN
    bare = replace(found, verdict=replace(found.verdict, baselines=()))
    assert standing.told(bare) == "Still open."


def test_no_probe_is_called_usable_before_it_beats_guessing_and_what_needs_no_network() -> None:
    for limiting in ("majority", "pixels", "hog"):
        assert "Usable" not in headline(of_kind(VerdictKind.UNDECIDED, limiting))
    found = advices.verdict(VerdictKind.UNDECIDED, limiting="random twin")
    bare = advices.blood(verdict=replace(found, baselines=()))
    assert stance(bare) is Stance.WAIT, "nothing is beaten where nothing was compared"


def test_of_few_right_the_reader_is_asked_whether_that_is_enough() -> None:
    found = replace(
        of_kind(VerdictKind.UNDECIDED, "random twin"), accuracy=Accuracy(0.62, 0.5, 0.7)
    )
    assert headline(found).startswith(
        "Usable where about 62 of 100 new images named right is enough: that is more than without"
    )


@pytest.mark.parametrize(
    ("kind", "limiting", "words"),
    [
        (VerdictKind.POSITIVE, "hog", "Use it: expect about 91 of 100 new images"),
        (VerdictKind.UNDECIDED, "hog", "but comparing edges only (HOG) may do as well."),
        (VerdictKind.UNDECIDED, "majority", "Do not rely on it yet:"),
        (VerdictKind.NO_GAIN, "hog", "comparing edges only (HOG) does about as well."),
        (VerdictKind.NEGATIVE, "pixels", "Do without this network: comparing raw pixels does bet"),
        (VerdictKind.NEGATIVE, "random twin", "Try another network: expect about 91 of 100"),
        (VerdictKind.NO_GAIN, "majority", "Do not use it: always guessing the commonest class"),
    ],
)
def test_the_headline_says_what_to_do(kind: VerdictKind, limiting: str, words: str) -> None:
    assert words in headline(of_kind(kind, limiting))


def test_there_are_one_to_three_steps_and_the_first_of_a_probe_has_its_commands() -> None:
    for kind, enough, recommended, is_contradicted, limiting in EVERY:
        advice = advices.blood(
            verdict=advices.verdict(kind, limiting=limiting, more=310),
            sufficiency=advices.sufficiency(enough),
            scenario=advices.scenario(recommended, is_contradicted=is_contradicted),
        )
        found = steps.steps(advice, Origin("photos/blood-wbc", "", advices.BACKBONE))
        assert 1 <= len(found) <= 3
        if is_to_be_used(advice):
            assert found[0].commands == (
                "icecore train-probe blood-wbc photos/blood-wbc --layer 21",
                "icecore predict blood-wbc NEW-IMAGES",
            )


def test_enough_images_are_no_step_but_told() -> None:
    advice = advices.blood(sufficiency=advices.sufficiency(SufficiencyKind.ENOUGH))
    assert not any("enough images" in step.text for step in steps.steps(advice))
    assert any("You have enough images" in text for text in steps.further(advice))


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
    assert plain(verdict.reason(of_kind(VerdictKind.UNDECIDED, "random twin"))) == (
        "The probe does better than 3 of the 4 simpler ways tried. It is not clear whether it is "
        "better than the same network before it learnt anything: it named 1.7 more of 100 images "
        "right, but with other images it could be anything from 2.4 fewer to 6 more. What the "
        "network learnt from other images may not matter."
    )


def test_the_top_of_the_page_on_blood_cells_reads_so() -> None:
    advice = advices.blood()
    assert plain(verdict.expectation(advice)) == (
        "Of 100 new images like these, expect the probe to name about 91 right (very likely "
        "between 82 and 96). The best way without a network, comparing edges only (HOG), named 82 "
        "of 100 right."
    )
    assert [plain(step.text) for step in steps.steps(advice)] == [
        "Train the probe, a small classifier, at depth 21; then let it name new images, files or "
        "folders.",
        "Collect about 120 more labelled images if you can, and train again: the probe gets "
        "better with more. Three times as many images as today would add about 3.2 points "
        "(between 1.2 and 5.5), and 120 more come within a point of that. Begin with "
        "“monocyte”, recognised least often.",
        "Look at the images that were named wrong (the report has pictures) and correct labels "
        "that are not right. The commonest mistake: 9 of 49 images of “eosinophil” were taken "
        "for “lymphocyte”.",
    ]
    assert [plain(text) for text in steps.further(advice)] == [
        "If it has to run on a small or slow device, use depth 12 instead: on your images it came "
        "within a point, with 479 KB instead of 1.46 MB to store and 132 million instead "
        "of 231 million multiply-adds an image.",
    ]
    assert commands.training(advice) == (
        "icecore train-probe blood-wbc --collection blood-wbc --layer 21"
    )


def test_a_beaten_probe_is_told_beside_what_beats_it() -> None:
    advice = advices.blood(verdict=advices.verdict(VerdictKind.NEGATIVE))
    assert plain(verdict.expectation(advice)) == (
        "Of 100 new images like these the probe would name about 91 right (between 82 and 96), "
        "comparing edges only (HOG) about 97 (between 88 and 100)."
    )
    assert plain(verdict.reason(advice)) == (
        "Comparing edges only (HOG) names more images right: the probe named 6.4 fewer of 100 "
        "images right, and with other images it could be anything from 10.5 fewer to 2.1 fewer."
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
    assert not any("device" in text for text in steps.further(advice))


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
    last = steps.further(advices.blood(scenario=advices.scenario(recommended)))[-1]
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
    assert not any("named wrong" in step.text for step in steps.steps(advice))


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
    assert "at depth 21 of “efficientnet-lite0”; then" in plain(steps.steps(advice)[0].text)


def test_a_network_that_is_not_the_collections_is_trained_into_a_collection_of_its_own() -> None:
    """A collection keeps to one backbone, and a training of another one would be refused."""
    advice = advices.blood()
    assert commands.training(advice, Origin(backbone="resnet50")) == (
        "icecore train-probe blood-wbc-efficientnet-lite0 DIR --backbone efficientnet-lite0 "
        "--layer 21"
    )
    other = Origin("photos/blood-wbc", "", "resnet50")
    assert " photos/blood-wbc --backbone efficientnet-lite0" in commands.training(advice, other)
    assert commands.predicting(advice, other).startswith("icecore predict blood-wbc-efficientnet")


def test_who_is_to_ask_again_is_given_the_command_with_the_same_names() -> None:
    advice = advices.blood()
    assert commands.asking_again(advice) == "icecore advise --collection blood-wbc"
    named = Origin("photos/of course", "blood-wbc", advices.BACKBONE)
    assert commands.asking_again(advice, named) == (
        "icecore advise 'photos/of course' --name blood-wbc"
    )
    assert commands.asking_another(advice)[-1].endswith("--collection blood-wbc --backbone OTHER")


def test_commands_are_for_the_server_that_was_asked() -> None:
    origin = Origin(backbone=advices.BACKBONE, flags=("--data", "my data"))
    for step in steps.steps(of_kind(VerdictKind.UNDECIDED, "hog"), origin):
        assert all(one.endswith(" --data 'my data'") for one in step.commands)


def test_a_kind_is_told_where_it_is_not_the_usual_one() -> None:
    assert commands.training(advices.blood(kind=ProbeKind.SVM)).endswith("--layer 21 --kind svm")


def test_a_hostile_collection_cannot_add_to_the_command() -> None:
    command = commands.training(advices.blood(collection_id="x; rm -rf ~"))
    assert command.startswith("icecore train-probe 'x; rm -rf ~' --collection 'x; rm -rf ~' --l")


def test_a_probe_on_the_networks_own_answers_is_told_without_a_depth() -> None:
    advice = advices.blood(chosen=advices.place(None))
    assert "classifier, on the network's own answers;" in steps.steps(advice)[0].text
    assert "--layer logits" in commands.training(advice)


def test_places_are_counted_with_the_network_s_own_answers() -> None:
    assert places.counted(advices.blood()) == "33 depths and the network's own answers"
    several = advices.blood(layers=(*advices.layers(), *advices.layers("other")))
    assert places.counted(several) == "66 depths and 2 networks' own answers"
    assert places.counted(advices.blood(layers=advices.layers()[:1])) == "1 depth"


def test_nobody_is_told_to_ask_for_more_images_than_an_advice_looks_at() -> None:
    many = advices.blood(n_labelled=90_000)
    assert f"--max-images {request.MOST_IMAGES}." in sufficiency.step(many)
    assert commands.MOST_IMAGES == request.MOST_IMAGES
    all_seen = advices.blood(n_labelled=90_000, n_images=request.MOST_IMAGES)
    assert "--max-images" not in sufficiency.step(all_seen)


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
