"""`icecore backbones ...` and `icecore layers --plot` against a real server over its socket."""

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from cli_runs import Icecore, two_classes
from fake_server import FakeServer, Refusal
from networks import FACTS, FOLDER
from servers import Server, serving

VIT, INT8 = FOLDER / "vit.onnx", FOLDER / "resnet18-int8.onnx"
SHOWN = {
    *("name", "digest", "layers", "is_default", "create_time", "added_by", "file_sha256"),
    *("precision", "graph_bytes", "recipe", "recipe_source", "changes", "card", "derived_from"),
    "fidelity",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("cli") / "data") as server:
        yield server


@pytest.fixture
def icecore(server: Server, capsys: pytest.CaptureFixture[str]) -> Icecore:
    """By the data folder, whose `admin.key` the commands find."""
    return Icecore(capsys, "--data", str(server.data))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_classes(tmp_path_factory.mktemp("photos"), each=10)


def test_a_network_is_added_shown_read_and_removed(
    icecore: Icecore, photos: Path, tmp_path: Path
) -> None:
    said = icecore.done("backbones", "add", "vit", VIT, "--licence", "MIT", "--accuracy", "10 %")
    depths = FACTS["vit"].n_blocks
    assert said.lines[0].startswith(f"backbone 'vit' is added: {depths} depths, ")
    assert (
        said.lines[2]
        == "        from ImageNet networks' usual one, which is assumed, as nothing tells"
    )
    assert "changed: " in said.out
    assert "backbones check vit PHOTOS" in said.err

    shown = icecore.done("backbones", "show", "vit", "--json").json
    assert set(shown) == SHOWN
    assert (shown["layers"], shown["precision"], shown["fidelity"]) == (depths, "float32", None)
    assert (shown["card"]["licence"], shown["card"]["accuracy"]) == ("MIT", "10 %")
    assert (shown["recipe_source"], shown["recipe"]["mean"]) == ("assumed", [0.485, 0.456, 0.406])
    words = icecore.done("backbones", "show", "vit").out
    for said_of_it in (shown["digest"], shown["file_sha256"], "10 %", "administrator"):
        assert said_of_it in words
    [row] = [line for line in icecore.done("backbones").lines if line.startswith("vit ")]
    assert row.split()[2:5] == [str(depths), "32x32", "float32"]

    layers = icecore.done("layers", "vit", "--json").json
    assert [one["depth"] for one in layers if one["depth"]] == [*range(1, depths + 1)]
    assert not any(one["thresholded"] for one in layers)
    table = icecore.done("layers", "vit")
    assert (len(table.lines), "blocks" in table.err) == (1 + depths + 1, True)

    icecore.done(
        "embed", photos / "red", "--out", tmp_path / "c.npz", "--backbone", "vit", "--pool", "cls"
    )
    with np.load(tmp_path / "c.npz") as file:
        assert file["codes"].shape == (10, 16)
    assert "no class token" in icecore.refused(
        "embed", photos, "--out", tmp_path / "n.npz", "--pool", "cls"
    )

    icecore.done("collections", "create", "pins", "--backbone", "vit")
    said_of_it = icecore.refused("backbones", "remove", "vit")
    assert "pinned by 1 collection" in said_of_it
    assert said_of_it.endswith("('icecore collections delete' and 'icecore probes delete')")
    icecore.done("collections", "delete", "pins")
    assert icecore.done("backbones", "remove", "vit").lines == ["backbone 'vit' is removed"]
    assert "'vit' is not on this server" in icecore.refused("backbones", "show", "vit")
    assert "'vit' is not on this server" in icecore.refused("backbones", "remove", "vit")
    said_of_it = icecore.refused("backbones", "remove", "toy")
    assert "is the default" in said_of_it
    assert "icecore probes delete" not in said_of_it, "which would not help"


def test_layers_are_drawn_where_a_file_can_be(icecore: Icecore, tmp_path: Path) -> None:
    out = tmp_path / "layers.png"
    said = icecore.done("layers", "toy", "--plot", out)
    assert str(out) in said.err
    with Image.open(out) as image:
        assert image.format == "PNG"
    json.loads(icecore.done("layers", "--json", "--plot", out).out)
    (tmp_path / "dir.png").mkdir()
    assert "is a folder" in icecore.refused("layers", "--plot", tmp_path / "dir.png")
    assert "must end in .png" in icecore.refused("layers", "--plot", tmp_path / "l.jpg")
    assert "no folder" in icecore.refused("layers", "--plot", tmp_path / "absent" / "l.png")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["layers.png"]


def test_a_recipe_is_checked_and_the_suggested_one_written_as_it_was_tried(
    icecore: Icecore, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "better.toml"
    said = icecore.done("backbones", "check", "toy", photos, "--json", "--write", out)
    report = said.json
    assert set(report) == {"n_images", "trials", "suggested", "verdict"}
    assert report["n_images"] == 20
    assert report["trials"][0]["change"] == ""
    if report["suggested"] is None:
        assert not out.exists()
        assert "is not written" in said.err
    else:
        assert tomllib.loads(out.read_text()) == report["suggested"]["recipe"]
    words = icecore.done("backbones", "check", "toy", photos, "--limit", 8)
    assert words.lines[1].startswith("as stored ")
    assert words.lines[-1].startswith("8 photos are too few to judge by")
    assert "is a folder" in icecore.refused("backbones", "check", "toy", photos, "--write", photos)
    assert "'nope'" in icecore.refused("backbones", "check", "nope", photos)
    assert "is not text" in icecore.refused("backbones", "check", "toy", photos, "--classes", VIT)


def test_a_network_becomes_int8_under_another_name(icecore: Icecore, photos: Path) -> None:
    said = icecore.done(
        *("backbones", "quantise", "toy", "--calibrate", photos, "--limit", 8),
        *("--evaluate-limit", 20),
    )
    assert said.lines[0].startswith("backbone 'toy-int8' is made of 'toy': digest ")
    assert "int8 against float32: " in said.out
    assert "cosine of codes: " in said.out
    assert f"\n{photos.name} " in said.out, "a row of the probes' table"
    made = icecore.done("backbones", "show", "toy-int8", "--json").json
    plain = icecore.done("backbones", "show", "toy", "--json").json
    assert (made["precision"], made["derived_from"]) == ("int8", plain["digest"])
    assert {one["name"] for one in made["fidelity"]["layers"]} == {"one", "two", "three"}
    assert all(one["cosine"] > 0.9 for one in made["fidelity"]["layers"])
    assert "int8 already" in icecore.refused(
        "backbones", "quantise", "toy-int8", "--calibrate", photos
    )
    few = icecore(
        "backbones", "quantise", "toy", "--as", "x", "--calibrate", photos / "red" / "0.png"
    )
    assert (few.status, "no labelled images" in few.err) == (2, True)
    assert "calibration image" in few.err
    icecore.done("backbones", "remove", "toy-int8")


def test_an_int8_file_is_trained_on_at_chosen_depths(icecore: Icecore, photos: Path) -> None:
    icecore.done("backbones", "add", "int8", INT8)
    version = icecore.done("train-probe", "p", photos, "--backbone", "int8", "--json").json
    assert (version["backbone"], version["depth"] in range(1, 10)) == ("int8", True)
    assert "pinned" in icecore.refused("backbones", "remove", "int8")
    icecore.done("probes", "delete", "p")
    icecore.done("collections", "delete", "p")
    icecore.done("backbones", "remove", "int8")


def test_names_that_are_not_utf8_are_sent_readable_or_refused(
    icecore: Icecore, tmp_path: Path
) -> None:
    recipe = tmp_path / os.fsdecode(b"r\xff.toml")
    recipe.write_text("height = 8\nwidth = 8\nresize = 9\nmeen = 0\n")
    said = icecore.refused("backbones", "add", "x", VIT, "--recipe", recipe)
    assert "udcff.toml" in said
    assert "'meen'" in said
    folder = two_classes(tmp_path / os.fsdecode(b"f\xff"), each=1)
    (folder / "red" / "0.png").rename(folder / os.fsdecode(b"\xfe.png"))
    assert "calibration" in icecore.refused("backbones", "quantise", "toy", "--calibrate", folder)
    for command in (("layers",), ("backbones", "show"), ("backbones", "remove")):
        said = icecore.refused(*command, os.fsdecode(b"n\xff"))
        assert said == "'n\\udcff' is not UTF-8, and names are"


def test_what_is_no_file_or_no_network_is_said_in_a_sentence(
    icecore: Icecore, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.onnx").touch()
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    packed = tmp_path / "net.onnx.xz"
    packed.write_bytes(b"packed")
    for file, sentence in (
        (tmp_path, "is no file"),
        (tmp_path / "absent.onnx", "is no file"),
        (tmp_path / "empty.onnx", "empty"),
        (text, "not an ONNX file"),
        (packed, "unpack it first"),
    ):
        assert sentence in icecore.refused("backbones", "add", "x", file)
    assert "'a b'" in icecore.refused("backbones", "add", "a b", VIT)
    assert "is no file" in icecore.refused("backbones", "add", "x", VIT, "--recipe", photos)
    assert "behind 'show'" in icecore.refused("backbones", "--json", "show")


def test_a_server_without_these_calls_is_called_old(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    def unknown(_: object) -> None:
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    calls = {
        "AddBackbone": ("add", "x", VIT),
        "RemoveBackbone": ("remove", "x"),
        "CheckRecipe": ("check", "x", photos),
        "QuantiseBackbone": ("quantise", "x", "--calibrate", photos),
    }
    with FakeServer(tmp_path, dict.fromkeys(calls, unknown)) as old:
        icecore = Icecore(capsys, "--server", old.address)
        for method, arguments in calls.items():
            said = icecore.refused("backbones", *arguments, status=3)
            assert said == (
                f"the server at {old.address!r} has no {method}: it may be older than this client"
            )
