"""What the backbones' commands show and choose, without a server."""

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icecore.cli.backbone_words import print_fidelity, recipe_toml, recipe_words
from icecore.cli.folders import LabelledFile
from icecore.cli.plots import layer_plot
from icecore.cli.plots.layer_plot import plot_layers
from icecore.cli.plots.style import BLUE, ORANGE
from icecore.cli.spreading import evenly, spread
from icecore.client import Fidelity, Layer, LayerFidelity, ProbeFidelity, Recipe

LAYER = Layer("a", 1, 8, 16, 16, 2, True, 8, 100, 1_000, "Relu", receptive_field=3)


def _files(counts: dict[str, int]) -> list[LabelledFile]:
    return [
        LabelledFile(f"{label}/{place}", Path(label, str(place)), label)
        for label, count in counts.items()
        for place in range(count)
    ]


@pytest.mark.parametrize("n", [1, 3, 7, 10, 11])
def test_evenly_spread_things_keep_their_order_and_reach_both_ends(n: int) -> None:
    things = list(range(10))
    chosen = evenly(things, n)
    assert len(chosen) == min(n, 10)
    assert chosen == sorted(set(chosen))
    gaps = np.diff(chosen)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    before, behind = chosen[0], 9 - chosen[-1]
    assert abs(before - behind) <= 1, "more is left out at one end"


def test_each_class_has_its_share_of_the_photos() -> None:
    files = _files({"ant": 100, "bee": 100, "fly": 3})
    assert Counter(file.label for file in spread(files, 60)) == {"ant": 20, "bee": 20, "fly": 3}
    assert Counter(file.label for file in spread(files, 1)) == {"ant": 2, "bee": 2, "fly": 2}
    assert spread(files, 60) == spread(files, 60)


def test_a_recipe_is_told_in_the_order_in_which_it_is_done() -> None:
    recipe = Recipe(224, 224, 256, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert recipe_words(recipe) == (
        "resize the shorter side to 256 (bicubic), crop 224 x 224, RGB x 1/255, "
        "mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25"
    )
    other = replace(recipe, resize_rule="squash", resize_width=300, scale=1.0, channels="BGR")
    assert "resize 256 x 300 (bicubic)" in recipe_words(other)
    assert "BGR x 1," in recipe_words(other)
    assert "the longer side to 256" in recipe_words(replace(recipe, resize_rule="longer"))


def test_a_recipe_written_as_toml_reads_as_the_same_recipe() -> None:
    recipe = Recipe(
        224, 192, 256, "lanczos", "BGR", (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 1.0, "squash", 300
    )
    read = tomllib.loads(recipe_toml(recipe))
    assert Recipe(**{**read, "mean": tuple(read["mean"]), "std": tuple(read["std"])}) == recipe


def test_fidelity_names_the_worst_layer_and_the_paired_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    layers = tuple(LayerFidelity(name, 1, cosine) for name, cosine in (("a", 0.91), ("b", 0.99)))
    probe = ProbeFidelity("cells", "b", 182, 0.9, 0.905, -0.004, 0.013)
    print_fidelity(Fidelity(64, 2.345, True, layers, (probe,)))
    said = capsys.readouterr().out
    assert "2.35 times" in said or "2.34 times" in said
    assert "with VNNI" in said
    assert "0.9900 at the last layer, 0.9100 at the worst ('a')" in said
    assert "-0.4 to +1.3 points" in said


def test_the_plot_draws_every_depth(tmp_path: Path) -> None:
    layers = [
        replace(LAYER, name=f"l{depth}", depth=depth, channels=8 * depth, macs=1_000 * depth)
        for depth in range(1, 6)
    ]
    out = tmp_path / "layers.png"
    plot_layers([*layers, replace(LAYER, name="logits", depth=None, role="logits")], out, name="x")
    with Image.open(out) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    found = {tuple(int(value) for value in row) for row in np.unique(pixels, axis=0)}
    for colour in (BLUE, ORANGE):
        assert tuple(bytes.fromhex(colour[1:])) in found
    with pytest.raises(ValueError, match="no depth"):
        plot_layers([replace(LAYER, depth=None)], out, name="x")


def test_one_layer_alone_is_drawn_too(tmp_path: Path) -> None:
    plot_layers([replace(LAYER, macs=0, params=0)], tmp_path / "one.png", name="one")
    assert (tmp_path / "one.png").stat().st_size > 1000


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 224), (4, 32), (5, 5), (7, 227), (1, 8192)])
def test_the_powers_on_the_axis_enclose_what_is_drawn(low: int, high: int) -> None:
    powers = layer_plot._powers(low, high)
    assert powers[0] <= low < 2 * powers[0]
    assert powers[-1] >= high
    assert powers[-1] < 2 * high


def test_long_names_and_small_networks_are_told_readably() -> None:
    name = "/encoder/layers/encoder_layer_0/Add_1_output_0"
    assert layer_plot._short(name) == f"…{name[-21:]}"
    assert len(layer_plot._short(name)) == 22
    assert layer_plot._short("layer4.2.out") == "layer4.2.out"
    texts = [layer_plot._millions(n) for n in (9_962, 212_000, 25_530_472, 3_858_000_000)]
    assert texts == ["0.0100 M", "0.21 M", "25.53 M", "3,858 M"]
