"""Candidates beside the layers: a classifier's probabilities, and other poolings."""

import numpy as np
import pytest

from icecore.probes.errors import InputInvalid
from icecore.probes.preprocessing import Preprocessing, preprocessed
from icecore.probes.selection import train
from labelled import clouds, names, standardised


def test_probabilities_are_a_candidate_where_logits_are() -> None:
    random = np.random.default_rng(1)
    y = np.arange(150) % 3
    # An offset an image drowns the logits; the softmax does not see it.
    logits = random.normal(size=(150, 3)) + 4.0 * np.eye(3)[y] + 1e4 * random.normal(size=(150, 1))
    codes = {"layer": random.normal(size=(150, 4)), "logits": logits}
    found = train(codes, names(y), kind="softmax", outputs=["logits"])
    assert [(trial.key, trial.preprocessing.value) for trial in found.trials] == [
        ("layer", "none"),
        ("logits", "none"),
        ("logits", "softmax"),
    ]
    assert found.trials[1].accuracy.estimate < 0.6
    assert (found.key, found.preprocessing) == ("logits", Preprocessing.SOFTMAX)
    said = found.probe("logits").predict(logits, tap="logits").labels
    assert np.mean(np.array(said) == np.array(names(y))) > 0.95


def test_softmax_is_scipys_and_knows_no_overflow() -> None:
    from scipy.special import softmax

    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0], [-1e30, 1e30, 0.0]])
    found = preprocessed(logits, Preprocessing.SOFTMAX)
    np.testing.assert_allclose(found, softmax(logits, axis=1), atol=1e-15)


def test_another_pooling_is_tried_at_the_chosen_layer() -> None:
    good, y = clouds(120, 10, 3, separation=2.0)
    random = np.random.default_rng(0)
    weak = (0.3 * standardised(good) + random.normal(size=good.shape)).astype(np.float32)
    noise = random.normal(size=good.shape).astype(np.float32)
    codes = {"early": noise, "late": weak, "early/max": noise, "late/max": good}
    found = train(
        codes,
        names(y),
        kind="softmax",
        alternatives={"early": ["early/max"], "late": ["late/max"]},
    )
    assert found.key == "late/max"
    assert [trial.key for trial in found.trials] == ["early", "late"]
    assert [trial.is_chosen for trial in found.trials] == [False, True]
    assert found.accuracy.estimate > found.trials[1].accuracy.estimate + 0.1


def test_a_trial_of_each_pooling_is_what_training_on_it_alone_finds() -> None:
    good, y = clouds(120, 10, 3, separation=2.0)
    random = np.random.default_rng(0)
    weak = (0.5 * standardised(good) + random.normal(size=good.shape)).astype(np.float32)
    noise = random.normal(size=good.shape).astype(np.float32)
    late = {"late": weak, "late/max": good, "late/gem": noise}
    found = train(
        {"early": noise, "early/max": good, **late},
        names(y),
        kind="softmax",
        alternatives={"early": ["early/max"], "late": ["late/max", "late/gem"]},
    )
    assert [trial.key for trial in found.alternatives] == list(late), "of the chosen layer only"
    assert found.n_layers == 2, "another pooling of a layer is none by itself"
    assert [trial.is_chosen for trial in found.alternatives] == [False, True, False]
    for trial in found.alternatives:
        alone = train({trial.key: late[trial.key]}, names(y), kind="softmax")
        assert trial.accuracy == alone.accuracy
        if not trial.is_chosen:
            assert (trial.C, trial.preprocessing) == (alone.C, alone.preprocessing)
    (chosen,) = [trial for trial in found.alternatives if trial.is_chosen]
    assert (chosen.key, chosen.C, chosen.preprocessing) == (found.key, found.C, found.preprocessing)


def test_the_trial_of_the_chosen_pooling_is_of_the_probes_own_preprocessing() -> None:
    """Beside another pooling what is as good as the best may be read otherwise than by itself."""
    n_different = 0
    for seed in (16, 25, 33):
        random = np.random.default_rng(seed)
        codes, y = clouds(60, 8, 3, separation=0.8)
        late, pooled = (
            (codes + 0.5 * random.normal(size=codes.shape)).astype(np.float32) for _ in range(2)
        )
        both = {"late": late, "late/max": pooled}
        found = train(both, names(y), kind="svm", alternatives={"late": ["late/max"]})
        (chosen,) = [trial for trial in found.alternatives if trial.is_chosen]
        assert (chosen.C, chosen.preprocessing) == (found.C, found.preprocessing)
        alone = train({found.key: both[found.key]}, names(y), kind="svm")
        n_different += alone.preprocessing is not found.preprocessing
    assert n_different, "of these seeds none shows the difference"


def test_of_one_pooling_there_is_one_trial_and_of_none_to_choose_from_there_is_none() -> None:
    codes, y = clouds(60, 10, 3, separation=2.0)
    alone = train({"late": codes}, names(y), kind="softmax", alternatives={"late": []})
    (only,) = alone.alternatives
    assert (only.key, only.is_chosen, only.accuracy) == ("late", True, alone.accuracy)
    assert train({"late": codes}, names(y), kind="softmax").alternatives == ()


def test_of_equal_poolings_the_first_is_read() -> None:
    good, y = clouds(90, 10, 3, separation=2.0)
    codes = {"late": good, "late/max": good}
    found = train(codes, names(y), kind="softmax", alternatives={"late": ["late/max"]})
    assert found.key == "late"


def test_a_layer_without_a_depth_has_no_neighbours() -> None:
    first, y = clouds(90, 10, 3, separation=1.0)
    codes = {"a": first, "b": first, "logits": first}
    known = train(codes, names(y), kind="softmax", positions={"a": 0.5, "b": 1.0, "logits": None})
    assert known.key == "a"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"outputs": ["gone"]}, "'gone' is named, but there are no codes"),
        ({"alternatives": {"a": ["gone"]}}, "'gone' is named"),
        ({"alternatives": {"gone": ["a"]}}, "'gone' is named"),
        ({"preprocessings": ["softmax"]}, "but some of 'none', 'l2', 'signed-root' are"),
        ({"positions": {"a": 0.0}}, "must be above 0"),
        ({"positions": {}}, "the position of layer 'a' is None"),
    ],
)
def test_wrong_candidates_are_refused(wrong: dict[str, object], sentence: str) -> None:
    codes, y = clouds(30, 5, 2, separation=1.0)
    with pytest.raises(InputInvalid, match=sentence):
        train({"a": codes}, names(y), kind="softmax", **wrong)  # type: ignore[arg-type]
