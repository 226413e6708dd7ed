"""Ants and bees by fixed features: is the tutorial's .95 reached?

PyTorch's transfer-learning tutorial trains a new last layer on ResNet-18's fixed features
and prints a best validation accuracy near .95, on 153 images that also chose the epoch. Here it is
five-fold, by images that chose nothing: at the last layer, and with the layer chosen inside the
training folds. The set has 200 of the tutorial's images. The law: the default backbone has .95 or
more.

Usage: nice python bench/science/ants_bees.py [--cache DIR] [--network NAME]... [--layers N]
       [--plots DIR]
Reads what cores.py left.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icecore.server.backbones.lite0 import efficientnet_lite0 as lite0
from science.asking import headline, parser, parts
from science.held_out import paired, trained, written
from science.plots import Curve, plot

SET = "hymenoptera"
WANTED = 0.95


def main() -> int:
    asked = parser(__doc__, sets=(SET,)).parse_args()
    print(f"{headline()}; {SET}")
    print(
        f"{'network':20} {'last layer, 95 %':25} {'layer chosen in folds, 95 %':28} chosen - last"
    )
    verdict, curves = "not asked", []
    for part in parts(asked, SET):
        layers = part.layers
        codes = {layer.key: part.codes(layer.key) for layer in layers}
        last = layers[-1].key
        at_last, last_right = trained({last: codes[last]}, part.labels, part.groups)
        chosen, chosen_right = trained(codes, part.labels, part.groups, part.positions)
        reached = max(at_last.accuracy.estimate, chosen.accuracy.estimate) >= WANTED
        if part.core.backbone == lite0.NAME:
            verdict = "PASS" if reached else "not met"
        print(
            f"{part.core.backbone:20} {written(at_last.accuracy):25} {written(chosen.accuracy):28} "
            f"{paired(last_right, chosen_right)}  {'>=' if reached else '<'} {WANTED}",
            flush=True,
        )
        depths = list(part.positions.values())
        curves.append(Curve(part.core.backbone, depths, [one.accuracy for one in chosen.trials]))
    if asked.plots is not None and curves:
        plot(curves, asked.plots / "ants-bees.png", "Held-out accuracy: ants and bees")
    print(f"the law, of {lite0.NAME}: {verdict}")
    return 1 if verdict == "not met" else 0


if __name__ == "__main__":
    sys.exit(main())
