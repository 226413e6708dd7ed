"""Accuracy by depth on near and on shifted data: where is the best layer, and is it the last?

For each set and network a table of held-out accuracy at every depth with its 95 % interval
(softmax on standardised codes, C chosen inside the training folds), then two differences in
points on the same held-out images with paired 95 % intervals: of the best depth from the last,
which flatters the best since these very images chose it; and of the layer that each
fold's training part chose, as `--layer auto` does, from the last, which does not. For each set
the latter also over all networks, an image being one observation: its mean over them.

The laws, after the tables of ZFNet (Zeiler and Fergus, "Visualizing and understanding
convolutional networks", 2014, table 7: an SVM on Caltech-101 has 44.8, 66.2, 72.3, 76.6, 86.2 % at
layers 1 to 5 and 85.5 at 7) and DeCAF (Donahue et al., 2014: Caltech-101 best at the sixth layer
of seven, 86.9 %):

- on near data accuracy rises with depth (last minus first is surely above 0) and then
  stays (choosing a layer is not surely better than the last);
- on shifted data a layer before the last is better (choosing one is surely better than the last,
  over all networks).

Usage: nice python bench/science/depth_curves.py [--cache DIR] [--network NAME]... [--set NAME]...
       [--layers N] [--images N] [--plots DIR]
Reads what cores.py left.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from science.asking import Part, headline, parser, parts
from science.held_out import (
    Bools,
    Difference,
    paired,
    paired_means,
    trained,
    written,
)
from science.plots import Curve, plot

NEAR = ("hymenoptera", "clothing")
SHIFTED = ("blood-wbc", "omniglot-alphabets")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A network over a set; which images the last layer and the chosen ones get right, (n,)."""

    curve: Curve
    last: Bools
    chosen: Bools


def found_of(part: Part) -> Found:
    """Print the table and the verdict of a network over a set."""
    core, layers, labels, groups = part.core, part.layers, part.labels, part.groups
    codes = {layer.key: part.codes(layer.key) for layer in layers}
    each = {layer.key: trained({layer.key: codes[layer.key]}, labels, groups) for layer in layers}
    _, chosen_right = trained(codes, labels, groups, part.positions)
    accuracies = {key: training.accuracy for key, (training, _) in each.items()}
    best = max(layers, key=lambda layer: accuracies[layer.key].estimate)
    print(f"\n{core.set}, {core.backbone}: {len(labels)} images, {len(layers)} layers")
    print(f"{'depth':>5} {'layer':24} {'d':>5} {'stride':>6} {'M MACs':>8}  accuracy, 95 %")
    for layer in layers:
        mark = "  best" if layer is best else ""
        print(
            f"{layer.depth:>5} {layer.name:24} {layer.channels:>5} {layer.stride:>6} "
            f"{layer.macs / 1e6:>8.1f}  {written(accuracies[layer.key])}{mark}"
        )
    right = {key: found for key, (_, found) in each.items()}
    last = layers[-1].key
    rise = paired(right[layers[0].key], right[last])
    flattered = paired(right[last], right[best.key])
    honest = paired(right[last], chosen_right)
    print(
        f"best depth {best.depth} of {layers[-1].depth}, {best.macs / layers[-1].macs:.0%} of MACs"
    )
    above = "the best is the last" if best is layers[-1] else f"best - last: {flattered}"
    print(f"last - first: {rise}; {above}; chosen in folds - last: {honest}")
    if core.set in NEAR:
        rises, stays = rise.low > 0.0, honest.low <= 0.0
        print(f"rises: {said(rises)}; then stays: {said(stays)}")
    if core.set in SHIFTED:
        print(f"peaks before the last: {seen(honest)}")
    sys.stdout.flush()
    curve = Curve(core.backbone, list(part.positions.values()), list(accuracies.values()))
    return Found(curve, right[last], chosen_right)


def said(is_met: bool) -> str:
    return "PASS" if is_met else "not met"


def seen(honest: Difference) -> str:
    """Return what a layer chosen without the judging images says of an earlier peak.

    The best of thirty layers that are all alike is nearly always another than the last; so
    where it stands says little by itself.
    """
    if honest.low > 0.0:
        return "PASS"
    return "seen, but not surely" if honest.estimate > 0.0 else "not seen"


def main() -> None:
    asked = parser(__doc__).parse_args()
    print(headline())
    for set_name in asked.set or asked.sets:
        found = [found_of(part) for part in parts(asked, set_name)]
        if len(found) > 1:
            over_all = paired_means([one.last for one in found], [one.chosen for one in found])
            told = f"; peaks before the last: {seen(over_all)}" if set_name in SHIFTED else ""
            print(f"\n{set_name}, {len(found)} networks: chosen in folds - last: {over_all}{told}")
        if asked.plots is not None and found:
            curves = [one.curve for one in found]
            plot(curves, asked.plots / f"depth-{set_name}.png", f"Held-out accuracy: {set_name}")


if __name__ == "__main__":
    main()
