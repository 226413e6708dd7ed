"""scikit-learn's estimators over a real server: paths in, codes, probes and predictions out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from cli_runs import photo, two_classes
from icecore.client import Client, NotFound
from icecore.client.adapters import CodesTransformer, ProbeClassifier, close_clients
from servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("estimators") / "data") as server:
        yield server
        close_clients()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    folder = two_classes(tmp_path_factory.mktemp("photos"))
    paths = sorted(folder.rglob("*.png"))
    return [str(path) for path in paths], [path.parent.name for path in paths]


def test_a_list_of_paths_goes_through_a_pipeline(
    server: Server, photos: tuple[list[str], list[str]]
) -> None:
    paths, labels = photos
    pipeline = make_pipeline(CodesTransformer(server.address, layer=2), LogisticRegression())
    assert pipeline.fit(paths, labels).score(paths, labels) == 1.0
    search = GridSearchCV(pipeline, {"codestransformer__layer": [1, "three", [1, 2]]}, cv=2)
    assert search.fit(paths, labels).best_score_ == 1.0
    with Client(server.address) as client:
        codes = client.embed([Path(path) for path in paths], layers=[1, 2])
    joined = CodesTransformer(server.address, layer=[1, 2]).fit_transform(paths)
    assert np.allclose(joined, np.hstack([one.values for one in codes]), atol=1e-6)
    whole = CodesTransformer(server.address, layer=1, pooling="none").fit(paths)
    assert whole.transform(np.array(paths)).shape == (
        len(paths),
        len(whole.get_feature_names_out()),
    )


def test_a_probe_is_trained_on_the_server_and_asked_by_its_version(
    server: Server, photos: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    """An SVM; docs/CLIENT.md, which a test runs, has a softmax."""
    paths, labels = photos
    probe = ProbeClassifier(server.address, probe="svm", layer=-1, kind="svm").fit(paths, labels)
    assert probe.version_.version == 1
    new = [str(photo(tmp_path / "n.png", 77, colour=(0, 0, 180)))]
    assert probe.predict(new).tolist() == ["blue"]
    assert probe.score(paths, labels) == 1.0
    values = probe.decision_function(paths)
    assert np.array_equal(values > 0, np.array(labels) == "red")
    assert not hasattr(probe, "predict_proba")
    with Client(server.address) as client:
        predictions = client.predict("svm", [Path(path) for path in paths], version=1)
        assert np.allclose(values, [one.scores["red"] for one in predictions])
        [codes] = client.embed([Path(path) for path in paths], layers=-1)
        assert np.allclose(probe.decision_function(codes), values, atol=1e-5)
        assert client.collections() == []
        assert client.probe("svm").promoted_version is None
        client.delete_probe("svm")
    with pytest.raises(NotFound):
        probe.predict(paths)
