"""Each command against a real server over its socket; the toy is the default backbone."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cli_runs import Icecore, photo, two_classes
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


def test_backbones_and_layers_have_the_keys_that_scripts_read(icecore: Icecore) -> None:
    [toy] = icecore.done("backbones", "--json").json
    assert (toy["name"], toy["layers"], toy["is_default"]) == ("toy", 3, True)
    assert len(toy["digest"]) == 64
    assert "toy" in icecore.done("backbones").out
    for asked in ((), ("--json",)):
        assert (
            icecore.done("backbones", "list", *asked).out == icecore.done("backbones", *asked).out
        )

    rows = icecore.done("layers", "toy", "--json").json
    named = {"depth", "name", "channels", "height", "width", "stride"}
    named |= {"thresholded", "dims", "params", "macs"}
    assert all(named <= set(row) for row in rows)
    thresholded = [(row["depth"], row["name"]) for row in rows if row["thresholded"]]
    assert thresholded == [(1, "one"), (2, "two"), (3, "three")]
    assert len(icecore.done("layers").lines) == 1 + 3 + 1, "the heading, the depths, the logits"
    assert len(icecore.done("layers", "--all").lines) == 1 + len(rows)
    assert "there is 'toy'" in icecore.refused("layers", "nope")


def test_embed_writes_codes_that_are_those_of_the_layers(
    icecore: Icecore, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "codes.npz"
    icecore.done("embed", photos / "red", photos / "blue" / "0.png", "--out", out)
    with np.load(out, allow_pickle=False) as file:
        paths, codes = file["paths"].tolist(), file["codes"]
    assert paths[-1] == str(photos / "blue" / "0.png")
    assert codes.shape == (9, 6)
    assert (codes >= 0).all()
    icecore.done("embed", *paths, "--out", out, "--layer", "1", "--layer", "three")
    with np.load(out) as file:
        assert set(file) == {"paths", "one", "three"}
        assert np.allclose(file["three"], codes, atol=1e-6)
    icecore.done(
        "embed", *paths, "--out", out, "--layer", "2", "--pool", "none", "--dtype", "float16"
    )
    with np.load(out) as file:
        assert (file["codes"].shape, file["codes"].dtype) == ((9, 6, 4, 4), np.float16)
    said = icecore.refused("embed", *paths, "--out", out, "--layer", "for")
    assert said.startswith("layer 'for' is not in backbone 'toy'")


def test_different_classes_are_told_before_the_figures(
    icecore: Icecore, photos: Path, tmp_path: Path
) -> None:
    three = two_classes(tmp_path)
    for seed in range(8):
        photo(three / "green" / f"{seed}.png", 2000 + seed, colour=(0, 180, 0))
    icecore.done("train-probe", "fewer", photos, "--layer", "-1")
    icecore.done("train-probe", "more", three, "--layer", "-1")
    icecore.done("train-probe", "fewer", "--collection", "more", "--layer", "-1")
    of_both, of_all, _, titles, *rows = icecore.done("probes", "compare", "fewer", 1, 2).lines
    assert of_both.startswith("on the 16 images of classes that both know: ")
    assert of_all.startswith("on all 24 images: version 2 is better: ")
    assert of_all.endswith("wrong whatever it says: only version 2 knows 'green'")
    assert titles.split() == ["version", "1", "version", "2"]
    assert rows[0].startswith("accuracy on classes both know  ")
    assert rows[2].startswith("accuracy on all images  ")
    found = icecore.done("probes", "compare", "fewer", 1, 2, "--json").json
    assert (found["n_images"], found["shared"]["n_images"], found["better"]) == (24, 16, 2)
    assert found["shared"].keys() == {"n_images", "difference", "accuracy_a", "accuracy_b"}
    asked = ("probes", "compare", "fewer", 1, 2, "--collection", "fewer")
    lines = icecore.done(*asked).lines
    assert lines[0] == of_both
    assert lines[1] == "these are all images judged, though only version 2 knows 'green'"
    assert lines[4].startswith("accuracy on all images  ")
    assert "on 16 held-out images" in lines[9]
    fewer = icecore.done(*asked, "--json").json
    for figure in ("difference", "accuracy_a", "accuracy_b"):
        assert fewer[figure] == fewer["shared"][figure] == found["shared"][figure]
    for name in ("fewer", "more"):
        icecore.done("probes", "delete", name)
        icecore.done("collections", "delete", name)


GUARDED = ("--not-worse-by", 2)


def test_a_folder_becomes_a_probe(icecore: Icecore, photos: Path) -> None:
    said = icecore.done("train-probe", "colours", photos, "--layer", "-1", "--json")
    version = said.json
    assert set(version) == {
        *("probe", "version", "state", "backbone", "layer", "depth", "kind", "C", "classes"),
        *("n_images", "accuracy", "seconds", "not_promoted", "base_version", "preprocessing"),
        *("pooling", "joined", "poolings", "n_layers", "n_layers_judged"),
    }
    assert (version["probe"], version["version"], version["state"]) == ("colours", 1, "ready")
    assert (version["backbone"], version["layer"], version["depth"]) == ("toy", "three", 3)
    assert (version["kind"], version["n_images"]) == ("softmax", 16)
    assert (version["n_layers"], version["n_layers_judged"]) == (1, 1), "the one that was named"
    assert version["classes"] == ["blue", "red"]
    accuracy = version["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["estimate"] <= accuracy["high"] <= 1
    counted = "collection 'colours': 16 added; 16 examples of 2 classes now"
    told, *progress = said.err.splitlines()
    assert told == counted
    assert not progress or version["seconds"] > 1, "what is over in a moment tells of none"

    again = icecore.done("train-probe", "colours", "--collection", "colours", "--kind", "svm")
    assert "colours version 2, promoted: svm" in again.out
    assert "<- chosen" in again.out

    lines = icecore.done("predict", "colours", photos / "red", "--json").lines
    found = [json.loads(line) for line in lines]
    assert [one["path"] for one in found] == [str(photos / "red" / f"{n}.png") for n in range(8)]
    for one in found:
        assert set(one) == {"path", "label", "probability", "scores"}
        assert one["probability"] is None
        assert one["scores"]["red"] == -one["scores"]["blue"]
        assert one["label"] == max(one["scores"], key=one["scores"].__getitem__)
    first = icecore.done("predict", "colours", photos / "red" / "0.png", "--version", 1, "--json")
    assert 0.5 <= first.json["probability"] <= 1
    assert "score" in icecore.done("predict", "colours", photos / "red").lines[0]

    one = icecore.done("train-probe", "one", "--collection", "colours", "--layer", 3, *GUARDED)
    assert one.out.count(" % (95 % interval") == 1, "of a single layer, one accuracy"
    assert "held-out accuracy" not in one.out
    assert "accuracy on images that did not choose C, at the layer given" in one.out
    assert "promoted without a comparison" in one.lines[-1]
    assert "<- chosen" not in icecore.done("probes", "show", "one").out
    icecore.done("probes", "delete", "one")

    again = icecore.done("train-probe", "colours", "--collection", "colours", "--not-worse-by", 0)
    assert "not promoted: version 3 of probe 'colours' may be worse" in again.lines[-1]
    assert "version 3 was not promoted: version 3" in icecore.done("probes", "show", "colours").out
    icecore.done("probes", "delete", "colours", "--version", 3)
    assert "give one" in icecore.refused(
        *("train-probe", "colours", "--collection", "colours", "--no-promote", "--not-worse-by", 2)
    )

    photos_of = ("train-probe", "colours", photos, "--no-promote")
    going_on = icecore.done(*photos_of, "--base", "promoted")
    assert "version 4: svm" in going_on.out
    assert "<- chosen" not in going_on.out
    assert "are those of version 2, and fitting began at its weights" in going_on.lines[-1]
    going_on = icecore.done(*photos_of, "--base", 1, "--json")
    assert (going_on.json["base_version"], going_on.json["kind"]) == (1, "softmax")
    assert version["base_version"] is None
    assert going_on.json["C"] == version["C"]
    refused = icecore.refused(*photos_of, "--base", 1, "--kind", "svm", "--layer", 2)
    assert "leave out --kind, --layer, or --base" in refused
    assert "has no version 9: it has 5, 4, 2, 1" in icecore.refused(*photos_of, "--base", 9)
    assert "neither a version's number nor" in icecore.refused(*photos_of, "--base", "best")
    for number in (4, 5):
        icecore.done("probes", "delete", "colours", "--version", number)

    [listed] = icecore.done("probes", "list", "--json").json
    assert (listed["name"], listed["promoted_version"]) == ("colours", 2)
    assert [one["version"] for one in listed["versions"]] == [2, 1]
    assert listed["versions"][1]["trials"][0]["is_chosen"]
    lines = icecore.done("probes", "compare", "colours", 1, 2).lines
    assert lines[0].split() == ["version", "1", "version", "2"]
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        *("accuracy", "95 % interval", "right where the other is wrong", "images new to it")
    ]
    assert lines[6].startswith("on 16 held-out images of collection 'colours': both are right on")
    assert lines[7].startswith(
        "the images do not tell which is better: version 2 minus version 1 is +0.0 points ("
    )
    compared = icecore.done("probes", "compare", "colours", 1, 2, "--json").json
    assert (compared["n_images"], compared["better"], compared["n_left_out"]) == (16, None, 0)
    assert compared["shared"] is None
    assert compared["difference"]["low"] < 0 < compared["difference"]["high"]
    assert "version 7" in icecore.refused("probes", "compare", "colours", 1, 7)

    icecore.done("probes", "promote", "colours", 1, "--expected", 2)
    assert "may not go below -2" in icecore.refused(
        "probes", "promote", "colours", 2, "--not-worse-by", 2
    )
    icecore.done("probes", "promote", "colours", 2, "--not-worse-by", 90)
    icecore.done("probes", "promote", "colours", 1)
    assert icecore.done("probes", "show", "colours", "--json").json["promoted_version"] == 1
    assert "promoted" in icecore.done("probes", "show", "colours").lines[2]
    assert "1" in icecore.refused("probes", "promote", "colours", 2, "--expected", 2)
    icecore.done("probes", "delete", "colours", "--version", 2)
    assert "2" in icecore.refused("probes", "promote", "colours", 2)
    icecore.done("probes", "delete", "colours")
    assert icecore.done("probes", "list", "--json").json == []
    assert "'colours'" in icecore.refused("predict", "colours", photos)
    icecore.done("collections", "delete", "colours")


def test_what_no_probe_can_be_trained_on_leaves_nothing_behind(
    icecore: Icecore, tmp_path: Path
) -> None:
    photo(tmp_path / "d" / "ant" / "1.png", 1)
    photo(tmp_path / "d" / "ant" / "2.png", 2)
    before = icecore.done("collections", "list", "--json").out
    assert "two classes or more, and there is only 'ant'" in icecore.refused(
        "train-probe", "few", tmp_path / "d"
    )
    photo(tmp_path / "d" / "bee" / "1.png", 3)
    assert "two images or more of each class, but has one of 'bee'" in icecore.refused(
        "train-probe", "few", tmp_path / "d"
    )
    (tmp_path / "d" / "bee" / "2.png").write_bytes(b"no image")
    assert "bee/2.png' (no JPEG, PNG or WebP); --skip-bad" in icecore.refused(
        "train-probe", "few", tmp_path / "d"
    )
    photo(tmp_path / "d" / "bee" / "3.png", 4)
    assert "'few'" in icecore.refused("train-probe", "few", tmp_path / "d", "--backbone", "few")
    for asked, why in (
        (("--layer", "50"), "depth 50 is not in backbone 'toy'"),
        (("--layer", "2", "--layer", "nope"), "layer 'nope' is not in backbone 'toy'"),
        (("--layer", "2", "--layer", "auto"), "--layer auto chooses layers itself"),
        (("--pool", "cls"), "cls"),
    ):
        assert why in icecore.refused("train-probe", "few", tmp_path / "d", "--skip-bad", *asked)
    assert icecore.done("collections", "list", "--json").out == before
    said = icecore.done("train-probe", "few", tmp_path / "d", "--skip-bad", "--json")
    assert said.json["n_images"] == 4
    assert "left out: 1 file cannot be read" in said.err
    icecore.done("collections", "delete", "few")


def test_a_collection_follows_its_folder(icecore: Icecore, tmp_path: Path) -> None:
    folder = two_classes(tmp_path / "d", each=3)

    def add(*flags: str) -> dict[str, int]:
        said = icecore.done("collections", "add", "c", folder, "--json", *flags).json
        assert (said["collection"], said["skipped"]) == ("c", [])
        counts = ("added", "replaced", "unchanged", "removed")
        return {what: said[what] for what in counts if said[what]}

    assert add() == {"added": 6}
    assert add() == {"unchanged": 6}
    photo(folder / "red" / "0.png", 77)
    photo(folder / "red" / "new" / "9.png", 78)
    (folder / "red" / "1.png").rename(folder / "blue" / "moved.png")
    (folder / "blue" / "2.png").unlink()
    assert add() == {"added": 2, "replaced": 1, "unchanged": 3}
    assert add("--prune") == {"unchanged": 6, "removed": 2}
    everything = icecore.done("collections", "list", "--json").json
    [listed] = [one for one in everything if one["name"] == "c"]
    assert listed["n_examples"] == 6
    assert listed["labels"] == {"blue": 3, "red": 3}
    hits = icecore.done("search", "c", "--id", "red/new/9.png", "-k", 9, "--json").json["hits"]
    expected = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert {hit["id"] for hit in hits} == expected
    assert icecore.done("collections", "add", "c", folder).lines == [
        "collection 'c': 6 unchanged; 6 examples of 2 classes now"
    ]
    said = icecore.refused("collections", "add", "c", folder, "--backbone", "other")
    assert said.startswith("collection 'c' is over backbone 'toy', not 'other'")
    icecore.done("collections", "delete", "c")
    assert "'c'" in icecore.refused("collections", "delete", "c")


def test_search_finds_a_picture_by_itself(icecore: Icecore, photos: Path) -> None:
    icecore.done("collections", "create", "s", "--backbone", "toy")
    icecore.done("collections", "add", "s", photos)
    queries = [photos / "red" / "3.png", photos / "blue" / "5.png"]
    for layer in ("1", "two", "-1"):
        said = icecore.done(
            "search", "s", *queries, "-k", 3, "--layer", layer, "--metric", "l2", "--json"
        )
        answers = [json.loads(line) for line in said.lines]
        assert [one["path"] for one in answers] == [str(path) for path in queries]
        for answer in answers:
            scores = [hit["score"] for hit in answer["hits"]]
            assert scores == sorted(scores)
            assert len(scores) == 3
            assert set(answer["hits"][0]) == {"id", "label", "metadata", "score"}
        assert [one["hits"][0]["id"] for one in answers] == ["red/3.png", "blue/5.png"]
    only = icecore.done("search", "s", *queries, "--filter", 'label = "red"')
    assert "blue/" not in "".join(line.split()[2] for line in only.lines[1:])
    assert "k" in icecore.refused("search", "s", *queries, "-k", 0)
    assert "filter" in icecore.refused("search", "s", *queries, "--filter", "label =")
    assert "'nope'" in icecore.refused("search", "nope", *queries)
    icecore.done("collections", "delete", "s")


def test_the_demo_leaves_its_pictures(icecore: Icecore, photos: Path, tmp_path: Path) -> None:
    said = icecore.done("demo", "--images", photos, "--out", tmp_path / "out")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"accuracy-by-depth.png", "look-alikes.png"}
    assert "of 2 images that training never saw" in said.out
    assert "<- chosen" in said.out
    assert str(tmp_path / "out" / "look-alikes.png") in said.out
    icecore.done("collections", "delete", "demo-own")
    icecore.done("probes", "delete", "demo-own")


def test_a_shell_completes_the_names_that_the_server_has(
    server: Server,
    icecore: Icecore,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked of a server that runs; none is started for a TAB, nor is there an error."""
    icecore.done("train-probe", "tabbed", photos, "--layer", "-1")

    def words(line: str) -> list[str]:
        monkeypatch.setenv("_ICECORE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        lines = Icecore(capsys).done().lines
        return [line.partition(",")[2] for line in lines if line]

    running = f"icecore --data {server.data}"
    assert words(f"{running} predict tab") == ["tabbed"]
    assert words(f"{running} search tab") == ["tabbed"]
    assert words(f"{running} layers to") == ["toy"]
    assert words(f"{running} embed x --backbone toy --layer t") == ["two", "three"]
    assert words(f"icecore --server {server.address} probes show tab") == ["tabbed"]
    absent = server.data / "absent"
    assert words(f"icecore --data {absent} predict tab") == []
    assert not absent.exists()


def test_administrators_make_tenants_and_keys(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last, since a key's existence closes the door to those without one."""
    assert server.listen is not None
    elsewhere = Icecore(capsys, "--server", server.listen)
    monkeypatch.setenv("ICECORE_DATA", str(server.data))  # whose key is for its own server only
    refused = elsewhere.refused("tenants", "list")
    assert "administrator" in refused
    by_key = Icecore(capsys, "--server", server.listen, "--key", server.admin_key)
    by_key.done("tenants", "create", "acme")
    by_folder = Icecore(capsys, "--data", str(server.data))
    assert [one["tenant"] for one in by_folder.done("tenants", "list", "--json").json] == [
        "acme",
        "default",
    ]
    said = by_folder.done("tenants", "create-key", "acme", "--label", "laptop")
    [secret] = said.lines
    assert "every call needs one, on this machine too" in said.err
    assert secret not in said.err
    [key] = by_folder.done("tenants", "list-keys", "acme", "--json").json
    assert key["label"] == "laptop"
    assert secret not in by_folder.done("tenants", "list-keys", "acme").out

    assert elsewhere.refused("collections", "list").count("(--key or ICECORE_KEY; ") == 1
    acme = Icecore(capsys, "--server", server.listen, "--key", secret)
    assert acme.done("collections", "list", "--json").json == []
    monkeypatch.setenv("ICECORE_KEY", secret)
    elsewhere.done("collections", "list")
    env = "(the key that was sent is that of ICECORE_KEY: unset it, or --key gives another)"
    said_why = by_folder.refused("tenants", "list")
    assert "administrator" in said_why
    assert said_why.endswith(env)
    assert acme.refused("tenants", "list").endswith("(the key that was sent is that of --key)")
    monkeypatch.setenv("ICECORE_KEY", "icecore_" + "0" * 64)
    assert by_folder.refused("collections", "list").endswith(env)
    monkeypatch.delenv("ICECORE_KEY")
    by_folder.done("tenants", "revoke-key", "acme", key["key_id"])
    acme.refused("collections", "list")
    by_folder.done("tenants", "delete", "acme")
    assert "'acme'" in by_folder.refused("tenants", "delete", "acme")
