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


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_a_probe_is_trained_on_the_server_and_asked_by_its_version(
    server: Server, photos: tuple[list[str], list[str]], kind: str, tmp_path: Path
) -> None:
    paths, labels = photos
    probe = ProbeClassifier(server.address, probe=kind, layer=-1, kind=kind).fit(paths, labels)
    new = [str(photo(tmp_path / "n.png", 77, colour=(0, 0, 180)))]
    if kind == "softmax":
        numbers = [labels.index(label) for label in labels]
        other = ProbeClassifier(server.address, probe=kind, layer=1).fit(paths, numbers)
        assert (probe.version_.version, other.version_.version) == (1, 2)
        assert other.predict(new).tolist() == [labels.index("blue")]
    assert probe.predict(new).tolist() == ["blue"]
    assert probe.score(paths, labels) == 1.0
    values = probe.decision_function(paths)
    assert np.array_equal(values > 0, np.array(labels) == "red")
    assert hasattr(probe, "predict_proba") == (kind == "softmax")
    with Client(server.address) as client:
        predictions = client.predict(kind, [Path(path) for path in paths], version=1)
        if kind == "softmax":
            own = [float(one.probability or 0) for one in predictions]
            assert np.allclose(probe.predict_proba(paths).max(axis=1), own)
        else:
            assert np.allclose(values, [one.scores["red"] for one in predictions])
        [codes] = client.embed([Path(path) for path in paths], layers=-1)
        assert np.allclose(probe.decision_function(codes), values, atol=1e-5)
        assert client.collections() == []
        assert client.probe(kind).promoted_version is None
        client.delete_probe(kind)
    with pytest.raises(NotFound):
        probe.predict(paths)
