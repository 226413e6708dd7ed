"""The demo's steps: bring images in, train at several depths, predict, search, draw."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from icecore.cli import bringing
from icecore.cli.demonstration.contact_sheet import Tile, draw_sheet
from icecore.cli.folders import LabelledFile, classes_of
from icecore.cli.jobs import Wanted, percent, print_trials, train
from icecore.cli.mistakes import Mistake
from icecore.cli.output import Column, print_line, print_table
from icecore.cli.plots.depth_plot import plot_depths
from icecore.client import Client, Hit, Prediction, ProbeVersion, TapId

T = TypeVar("T")

LEFT_OUT = 10
"""One image of so many is kept away from training, to be predicted."""

SHOWN = 10
QUERIES = 6
HITS = 8

PLOT = "accuracy-by-depth.png"
SHEET = "look-alikes.png"


@dataclass(frozen=True, slots=True)
class Split:
    """The images trained on, and those kept away from it."""

    kept: tuple[LabelledFile, ...]
    left_out: tuple[LabelledFile, ...]


def split(files: Sequence[LabelledFile]) -> Split:
    """Leave out about one of LEFT_OUT images a class, spread over its files.

    A class gives one up at least, but keeps two or more.
    """
    left: set[str] = set()
    for label, count in classes_of(files).items():
        of_class = [file for file in files if file.label == label]
        n_left = min(max(1, round(count / LEFT_OUT)), count - 2)
        for place in range(max(0, n_left)):
            left.add(of_class[math.floor((place + 0.5) * count / n_left)].example_id)
    return Split(
        tuple(file for file in files if file.example_id not in left),
        tuple(file for file in files if file.example_id in left),
    )


def bring_in(client: Client, name: str, files: Sequence[LabelledFile], *, skip_bad: bool) -> None:
    """Make the collection hold these files and no others."""
    plan = bringing.plan(client, name, files, prune=True, skip_bad=skip_bad)
    bringing.require_trainable(plan)
    brought = bringing.bring(client, plan, skip_bad=skip_bad)
    collection = brought.collection
    print_line(
        f"Collection {name!r} holds {collection.n_examples:,} images with their codes at every "
        f"depth of {collection.backbone!r}."
    )


def train_at_depths(client: Client, name: str, out: Path) -> ProbeVersion:
    """Train, print the table of depths, and draw it."""
    version = train(client, name, name, Wanted())
    if version.tap is None or version.accuracy is None:
        raise Mistake(f"version {version.version} of probe {name!r} has no accuracy to show")
    print_trials(version)
    estimate, interval = percent(version.accuracy)
    print_line()
    print_line(
        f"Chosen: {_place(version.tap)}, {version.tap.layer!r}, C = {version.C:g}. Expect "
        f"{estimate} on new images"
    )
    print_line(f"(95 % interval {interval}; from outer folds that chose neither layer nor C).")
    depths = client.backbone(version.tap.backbone).depths
    labels = client.collection(name).labels
    plot_depths(
        version.trials,
        out / PLOT,
        title=f"Chosen for these images: {_place(version.tap)}, of {len(version.trials)} tried "
        f"({depths} depths in all)",
        subtitle=f"linear probe on {version.tap.backbone}; "
        f"{version.n_images:,} images of {len(version.classes):,} classes; "
        f"expect {estimate} ({interval}) on new ones",
        chance=max(labels.values()) / sum(labels.values()),
    )
    return version


@dataclass(frozen=True, slots=True)
class _Guess:
    file: LabelledFile
    prediction: Prediction

    @property
    def is_right(self) -> bool:
        return self.file.label == self.prediction.label

    def row(self) -> tuple[str, ...]:
        sure = self.prediction.probability
        return (
            self.file.example_id,
            self.file.label,
            self.prediction.label,
            "-" if sure is None else f"{sure:.3f}",
            "" if self.is_right else "<- wrong",
        )


def predict_left_out(client: Client, name: str, files: Sequence[LabelledFile]) -> None:
    """Predict what training has not seen, and print some of it."""
    predictions = client.predict_stream(name, (file.path for file in files))
    guesses = [_Guess(file, one) for file, one in zip(files, predictions, strict=True)]
    wrong = [one for one in guesses if not one.is_right]
    right = [one for one in guesses if one.is_right]
    # The mistakes are the interesting ones; the others are one of each class.
    shown = wrong[: SHOWN // 2] + _in_turn(right, lambda one: one.file.label)
    columns = [Column("image"), Column("is"), Column("predicted")]
    columns += [Column("probability", is_number=True), Column("")]
    by_id = sorted(shown[:SHOWN], key=lambda one: one.file.example_id)
    print_table(columns, [one.row() for one in by_id])
    mistakes = mistakes_told(sum(not one.is_right for one in by_id), len(wrong))
    print_line()
    print_line(
        f"Shown: {len(by_id):,} of {len(guesses):,}, {mistakes} among them. "
        f"Right: {len(right):,} of {len(guesses):,} images that training never saw."
    )


def mistakes_told(n_shown: int, n_all: int) -> str:
    """Return how many of all mistakes are shown, in words."""
    if n_shown == n_all:
        return "all mistakes" if n_all else "no mistake"
    return f"{n_shown:,} of {n_all:,} mistakes"


def _place(tap: TapId) -> str:
    return f"depth {tap.depth}" if tap.depth else "the network's own answers"


def search_look_alikes(
    client: Client, name: str, version: ProbeVersion, images: Split, out: Path
) -> None:
    """Search for look-alikes of some images left out, and draw them."""
    if version.tap is None:
        raise Mistake(f"version {version.version} of probe {name!r} has no tap to search at")
    queries = _in_turn(images.left_out, lambda file: file.label)[:QUERIES]
    results = client.search(
        name, images=[file.path for file in queries], k=HITS, layer=version.tap.layer
    )
    where = {file.example_id: file.path for file in images.kept}
    rows = [
        [Tile(query.path, query.label, query.path.name)]
        + [_tile(hit, where, query) for hit in hits]
        for query, hits in zip(queries, results, strict=True)
    ]
    found = [tile for row in rows for tile in row if tile.is_same is not None]
    n_same = sum(1 for tile in found if tile.is_same)
    said = f"{n_same} of {len(found)} hits are of the query's class"
    draw_sheet(
        rows,
        out / SHEET,
        title="Look-alikes of images that training never saw",
        subtitle=f"cosine of {version.tap.backbone}'s codes at {_place(version.tap)} "
        f"({version.tap.layer}); {said}",
    )
    print_line(f"Searched for {len(queries)} of them: {said}.")


def _tile(hit: Hit, where: Mapping[str, Path], query: LabelledFile) -> Tile:
    example = hit.example
    is_same = example.label == query.label
    return Tile(where[example.example_id], example.label, f"cosine {hit.score:.3f}", is_same)


def _in_turn(things: Sequence[T], label_of: Callable[[T], str]) -> list[T]:
    """Return the first thing of each class, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    ranks = []
    for thing in things:
        ranks.append(seen[label_of(thing)])
        seen[label_of(thing)] += 1
    order = sorted(range(len(things)), key=lambda place: ranks[place])
    return [things[place] for place in order]
