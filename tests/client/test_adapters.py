"""The estimators are scikit-learn's own kind: its checks, pipelines, searches, pickles."""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fake_probes import TAP, Probes, features
from fake_server import FakeServer
from icecore.client import Client, TapId, TapsDiffer
from icecore.client.adapters import CodesTransformer, ProbeClassifier, Server, close_clients
from icecore.client.adapters.server import client_of

PROBES = Probes()


@pytest.fixture(scope="module", autouse=True)
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What an estimator without a server uses, in this module."""
    with (
        pytest.MonkeyPatch.context() as patch,
        FakeServer(tmp_path_factory.mktemp("fake"), PROBES.answers) as server,
    ):
        patch.setenv("ICECORE_SERVER", server.address)
        yield server.address
        close_clients()


ESTIMATORS = [
    CodesTransformer(image_shape="square"),
    ProbeClassifier(image_shape="square"),
    # Without a shape no table is taken; what is left are the checks of the interface.
    CodesTransformer(),
    ProbeClassifier(),
]


with warnings.catch_warnings():
    # "Can't test estimator ... which requires input of type ...": of the two without a shape.
    warnings.simplefilter("ignore", SkipTestWarning)
    all_checks = parametrize_with_checks(ESTIMATORS)


@all_checks  # type: ignore[untyped-decorator] # scikit-learn has no types
def test_scikit_learns_own_checks_pass(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def test_no_collection_is_left_behind() -> None:
    """After all the fits above, failed ones too."""
    assert PROBES.collections == {}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """Paths of dark and light pictures, and which are which."""
    folder = tmp_path_factory.mktemp("photos")
    paths, labels = [], []
    for seed in range(24):
        random = np.random.default_rng(seed)
        label = "light" if seed % 2 else "dark"
        pixels = random.integers(0, 120, (4, 4, 3)) + (100 if seed % 2 else 0)
        paths.append(str(folder / f"{seed}.npy.png"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
        labels.append(label)
    return paths, labels


def pixels(paths: list[str]) -> list[Any]:
    return [np.asarray(Image.open(path)) for path in paths]


def test_a_pipeline_takes_images(photos: tuple[list[str], list[str]]) -> None:
    images, labels = pixels(photos[0]), photos[1]
    pipeline = make_pipeline(CodesTransformer(), StandardScaler(), LogisticRegression())
    assert pipeline.fit(images, labels).score(images, labels) == 1.0
    assert cross_val_score(pipeline, images, labels, cv=3).mean() == 1.0
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=3)
    assert search.fit(images, labels).best_score_ == 1.0
    expected = np.array([features_of(image) for image in images], np.float32)
    assert np.array_equal(CodesTransformer().fit_transform(images), expected)


def features_of(image: Any) -> Any:
    from icecore.wire import messages

    return features(messages.image_to_message(image))


def test_a_probe_is_searched_over_and_scored(photos: tuple[list[str], list[str]]) -> None:
    images, labels = pixels(photos[0]), photos[1]
    search = GridSearchCV(ProbeClassifier(), {"layer": ["auto", -1]}, cv=2)
    assert search.fit(images, labels).best_score_ == 1.0
    best = search.best_estimator_
    assert best.classes_.tolist() == ["dark", "light"]
    assert best.version_.tap == TAP
    chances = best.predict_proba(images)
    assert np.allclose(chances.sum(axis=1), 1.0)
    # Of two classes one number, as scikit-learn has it: the logit of the second.
    logit = np.log(chances[:, 1] / chances[:, 0])
    assert np.allclose(best.decision_function(images), logit)


def test_images_come_in_all_forms(photos: tuple[list[str], list[str]]) -> None:
    images = pixels(photos[0])
    fitted = CodesTransformer().fit(images)
    expected = fitted.transform(images)
    stacked = np.stack(images)
    as_objects = np.empty(len(images), object)
    as_objects[:] = [Image.fromarray(image) for image in images]
    for X in (stacked, tuple(images), as_objects, as_objects[:, None]):
        assert np.array_equal(fitted.transform(X), expected)
    grey = stacked[:, :, :, 0]
    assert np.array_equal(fitted.transform(grey), expected), "the fake looks at red alone"


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ("x.jpg", "X is one 'str'"),
        ([], "Expected 2D array|minimum of 1"),
        ([b"x", 3], r"X\[1\] is a 'int'"),
        ([np.zeros((4, 4), np.float64)], "X.0. is an array of 'float64'"),
        (np.zeros((3, 16)), "X is a table of 3 rows of 16 numbers, but must be images"),
        (np.empty((0, 4, 4, 3), np.uint8), "X holds no images"),
    ],
)
def test_what_is_no_image_is_refused(X: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CodesTransformer().fit(X)


def test_a_row_is_a_picture_of_the_shape_given() -> None:
    table = np.random.default_rng(0).integers(0, 256, (5, 12)).astype(np.uint8)
    for shape, X in (((3, 4), table), ((2, 2, 3), table)):
        codes = CodesTransformer(image_shape=shape).fit_transform(X)
        red = X.reshape(5, *shape)[..., 0] if len(shape) == 3 else X
        assert np.allclose(codes, red.reshape(5, -1) / 127.5 - 1.0, atol=1e-6)
    square = CodesTransformer(image_shape="square", value_range=(-1, 1)).fit_transform(
        np.array([[-1.0, 1.0, 0.2, 9.0, -9.0]])
    )
    assert np.allclose(square, [[-1, 1, 0.2, 1, -1, -1, -1, -1, -1]], atol=1 / 127.5)
    wrong: list[tuple[Any, str]] = [
        ((3, 5), "12 numbers a row"),
        ((12,), "must be"),
        ("x", "must be"),
    ]
    for no_shape, said in wrong:
        with pytest.raises(ValueError, match=said):
            CodesTransformer(image_shape=no_shape).fit(table)


def test_codes_of_another_backbone_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [np.zeros((2, 2, 3), np.uint8)]
    fitted = CodesTransformer().fit(images)
    monkeypatch.setattr("fake_probes.TAP", TapId(digest="cd" * 32, layer="x"))
    with pytest.raises(TapsDiffer):
        fitted.transform(images)
    with pytest.raises(NotFittedError):
        CodesTransformer().transform(images)


def test_classes_of_one_image_and_single_classes_are_refused() -> None:
    images = [np.full((2, 2, 3), place, np.uint8) for place in range(3)]
    with pytest.raises(ValueError, match="y holds 1 class, 'a'"):
        ProbeClassifier().fit(images, ["a", "a", "a"])
    with pytest.raises(ValueError, match="class 'b' has one sample"):
        ProbeClassifier().fit(images, ["a", "a", "b"])


@pytest.mark.parametrize(
    "classes", [["", "x"], [1.0, 2.0], [True, False], ["a\nb", "c"], ["ant", "bee"]]
)
def test_any_labels_come_back(classes: list[Any]) -> None:
    images = [np.full((2, 2, 3), 200 * (place % 2), np.uint8) for place in range(6)]
    y = [classes[place % 2] for place in range(6)]
    probe = ProbeClassifier().fit(images, y)
    assert probe.predict(images).tolist() == y
    assert probe.classes_.tolist() == sorted(classes)


def test_a_fitted_estimator_is_copied_and_handed_to_others_without_its_key() -> None:
    """As joblib's workers get it: by what copyreg asks for."""
    images = [np.full((2, 2, 3), 200 * (place % 2), np.uint8) for place in range(6)]
    server = Server(client_of(None).connect(), key="icecore_secret")
    for estimator in (
        CodesTransformer(server).fit(images),
        ProbeClassifier(server).fit(images, [0, 1] * 3),
    ):
        assert clone(estimator).server == server
        assert copy.deepcopy(estimator).server is server
        assert "icecore_secret" not in repr(estimator)
        state: Any = estimator.__getstate__()
        make, arguments = state["server"].__reduce__()
        assert "icecore_secret" not in repr([arguments, state])
        assert not [one for one in state.values() if isinstance(one, Client)]
        again = copy.copy(estimator)
        again.__setstate__({**state, "server": make(*arguments)})
        assert again.server == Server(server.address)
        ask = "transform" if isinstance(estimator, CodesTransformer) else "predict"
        assert np.array_equal(getattr(again, ask)(images), getattr(estimator, ask)(images))


def test_equal_servers_share_a_client(address: str) -> None:
    assert client_of(address) is client_of(Server(address))
    assert client_of(address) is not client_of(Server(address, key="other"))
    first = client_of(address)
    close_clients()
    assert isinstance(client_of(address), Client)
    assert client_of(address) is not first
    with pytest.raises(ValueError, match="server is a 'int'"):
        client_of(3)  # type: ignore[arg-type]


def test_what_cannot_be_reached_by_name_is_no_module(tmp_path: Path) -> None:
    """`import icecore.client` alone brings no scikit-learn; see test_twins."""
    import icecore.client

    assert "adapters" not in icecore.client.__all__
