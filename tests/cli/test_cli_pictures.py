"""The demo's pictures: digits, contact sheet, plot; and which images it keeps away."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cli_runs import photo
from icecore.cli.demonstration.contact_sheet import OTHER, PLAIN, SAME, Tile, draw_sheet
from icecore.cli.demonstration.digits import INK, PAPER, SIDE, draw, draw_digits
from icecore.cli.demonstration.story import mistakes_told, split
from icecore.cli.folders import LabelledFile, classes_of, labelled_files
from icecore.cli.plots.depth_plot import plot_depths
from icecore.client import Accuracy, LayerTrial


def _trial(depth: int | None, estimate: float, *, is_chosen: bool = False) -> LayerTrial:
    accuracy = Accuracy(estimate, max(0.0, estimate - 0.1), min(1.0, estimate + 0.1))
    return LayerTrial(f"blocks.{depth}", depth, accuracy, 1.0, is_chosen)


def _colours(image: Image.Image) -> set[tuple[int, ...]]:
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return {tuple(int(value) for value in row) for row in np.unique(pixels, axis=0)}


def test_digits_are_rgb_pictures_one_folder_a_digit(tmp_path: Path) -> None:
    assert draw_digits(tmp_path, per_class=2) == 20
    files = labelled_files(tmp_path)
    assert classes_of(files) == {str(digit): 2 for digit in range(10)}
    before = {file.path: file.path.read_bytes() for file in files}
    with Image.open(files[0].path) as image:
        assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))
    draw_digits(tmp_path, per_class=2)
    assert {path: path.read_bytes() for path in before} == before, "drawn twice, not the same"


def test_a_digits_values_run_from_paper_to_ink() -> None:
    values = np.zeros((8, 8))
    assert _colours(draw(values)) == {PAPER}
    values[2:6, 2:6] = 16
    picture = draw(values)
    assert picture.getpixel((SIDE // 2, SIDE // 2)) == INK
    assert picture.getpixel((0, 0)) == PAPER


def test_a_sheet_frames_hits_by_whether_they_are_of_the_query_class(tmp_path: Path) -> None:
    grey = photo(tmp_path / "grey.png", 0, colour=(120, 120, 120))
    query = Tile(grey, "ant", "new.jpg")
    for is_same, colour, other in ((True, SAME, OTHER), (False, OTHER, SAME)):
        out = tmp_path / "sheet.png"
        hit = Tile(grey, "a label\nlonger than its tile, and 蚂蚁", "cosine 1.000", is_same)
        draw_sheet([[query, hit, hit], [query, hit]], out, title="T", subtitle="s" * 500)
        with Image.open(out) as sheet:
            assert sheet.format == "PNG"
            colours = _colours(sheet)
        assert {colour, PLAIN} <= colours
        assert other not in colours


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_a_sheet_takes_pictures_of_any_shape_and_mode(tmp_path: Path, name: str) -> None:
    mode = "CMYK" if name.endswith("jpg") else "RGBA"
    Image.new(mode, (300, 7)).save(tmp_path / name)
    draw_sheet([[Tile(tmp_path / name, "x", "y")]], tmp_path / "s.png", title="T", subtitle="")
    assert (tmp_path / "s.png").stat().st_size > 0


@pytest.mark.parametrize(
    "trials",
    [
        [_trial(7, 0.8), _trial(33, 0.9, is_chosen=True)],
        [_trial(33, 1.0, is_chosen=True)],
        [_trial(1, 0.0), _trial(2, 0.0, is_chosen=True), _trial(3, 1.0)],
        [_trial(7, 0.8), _trial(None, 0.9, is_chosen=True)],
    ],
    ids=["two", "one", "all-or-nothing", "chosen-without-depth"],
)
def test_a_plot_is_drawn_of_any_trials(tmp_path: Path, trials: list[LayerTrial]) -> None:
    out = tmp_path / "plot.png"
    plot_depths(trials, out, title="T", subtitle="S", chance=0.5)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000
    first = out.read_bytes()
    plot_depths(trials, out, title="T", subtitle="S", chance=0.5)
    assert out.read_bytes() == first, "the same trials, another picture"


def test_a_plot_without_a_depth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no depth to plot"):
        plot_depths([_trial(None, 0.5)], tmp_path / "x.png", title="", subtitle="", chance=0.5)


@pytest.mark.parametrize("count", [2, 3, 4, 9, 10, 60, 101])
def test_about_a_tenth_of_each_class_is_kept_away(count: int) -> None:
    files = [
        LabelledFile(f"{label}/{place:03d}", Path(f"{place}"), label)
        for label in ("ant", "bee")
        for place in range(count)
    ]
    parts = split(files)
    assert sorted([*parts.kept, *parts.left_out]) == sorted(files)
    for label in ("ant", "bee"):
        n_kept = sum(1 for file in parts.kept if file.label == label)
        n_left = sum(1 for file in parts.left_out if file.label == label)
        assert n_kept >= 2
        assert n_left >= (1 if count > 2 else 0)
        assert abs(n_left - count / 10) <= 1
    assert parts == split(list(files)), "another run keeps other images away"


@pytest.mark.parametrize(
    ("n_shown", "n_all", "told"),
    [(0, 0, "no mistake"), (2, 2, "all mistakes"), (5, 1200, "5 of 1,200 mistakes")],
)
def test_how_many_mistakes_are_shown_is_told(n_shown: int, n_all: int, told: str) -> None:
    assert mistakes_told(n_shown, n_all) == told


def test_names_under_a_plot_do_not_run_into_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few layers all are named, of many none."""
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *given: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    for n in (3, 10, 11, 33):
        trials = [
            replace(_trial(depth, 0.9), layer=f"blocks.{depth}.depthwise")
            for depth in range(1, n + 1)
        ]
        plot_depths(trials, tmp_path / "p.png", title="T", subtitle="", chance=0.5)
        labels = drawn[-1].axes[0].get_xticklabels()
        assert ("depthwise" in labels[0].get_text()) == (n <= 10)
        boxes = [label.get_window_extent() for label in labels]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes)), n
