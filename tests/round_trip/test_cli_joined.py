"""`train-probe --layer all` and `--pool auto`, against a real server over its socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_runs import Icecore, two_classes
from servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("cli") / "data", listen="127.0.0.1:0") as server:
        yield server


@pytest.fixture
def icecore(server: Server, capsys: pytest.CaptureFixture[str]) -> Icecore:
    return Icecore(capsys, "--server", server.address)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_classes(tmp_path_factory.mktemp("photos"))


def test_layers_are_joined_shown_and_predicted_with(icecore: Icecore, photos: Path) -> None:
    said = icecore.done("train-probe", "joined", photos, "--layer", "all").out
    assert "layers together of toy@" in said
    assert "points over one layer, which has" in said
    assert "<- chosen by itself" in said
    said = icecore.done("probes", "show", "joined").out
    assert "layers joined" in said
    assert "<- chosen by itself" in said
    assert "points over one layer, which has" in said
    assert "layers together of toy@" in said
    answer = icecore.done("predict", "joined", photos / "red" / "0.png", "--json").json
    assert answer["label"] == "red"
    version = icecore.done("train-probe", "joined", photos, "--base", "1", "--json").json
    assert (version["layer"], version["base_version"]) == (None, 1)
    assert version["joined"]["gain"] is None
    assert len(version["joined"]["layers"]) > 1
    said = icecore.refused("train-probe", "joined", photos, "--layer", "all", "--layer", "1")
    assert "chooses layers itself" in said
    said = icecore.refused("train-probe", "joined", photos, "--layer", "all", "--pool", "auto")
    assert "--pool auto goes with one layer" in said


def test_a_pooling_is_chosen(icecore: Icecore, photos: Path) -> None:
    version = icecore.done("train-probe", "pooled", photos, "--pool", "auto", "--json").json
    assert version["pooling"] in ("avg", "max", "gem3")
    assert [one["pooling"] for one in version["poolings"]] == ["avg", "max", "gem3"]
    (chosen,) = [one for one in version["poolings"] if one["is_chosen"]]
    assert (chosen["pooling"], chosen["C"]) == (version["pooling"], version["C"])
    assert chosen["preprocessing"] == version["preprocessing"]
    for one in version["poolings"]:
        assert 0 <= one["accuracy"]["low"] <= one["accuracy"]["estimate"]
    (kept,) = icecore.done("probes", "show", "pooled", "--json").json["versions"]
    assert kept["poolings"] == version["poolings"]


def test_poolings_tried_are_told_with_the_chosen_one(icecore: Icecore, photos: Path) -> None:
    told = icecore.done("train-probe", "told", photos, "--pool", "auto").lines
    (start,) = [row for row, line in enumerate(told) if line.startswith("poolings tried at ")]
    rows = [line.split() for line in told[start + 2 : start + 5]]
    assert [row[0] for row in rows] == ["avg", "max", "gem3"]
    assert sum(row[-2:] == ["<-", "chosen"] for row in rows) == 1
    shown = icecore.done("probes", "show", "told").lines
    assert told[start : start + 5] == [line for line in shown if line in told[start : start + 5]]


def test_a_pooling_that_was_named_is_not_told_as_tried(icecore: Icecore, photos: Path) -> None:
    said = icecore.done("train-probe", "named", photos, "--pool", "max")
    assert "poolings tried" not in said.out
    (kept,) = icecore.done("probes", "show", "named", "--json").json["versions"]
    assert kept["poolings"] is None
