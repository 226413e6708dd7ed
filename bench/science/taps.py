"""Codes after the threshold or before it: which does a linear probe want, layer by layer?

Averages of what the network's Relu lets through against averages of what comes into it, of the
same layer over the same folds: held-out accuracy of both, and linear minus thresholded in points
with its paired 95 % interval. The last line of a table is the mean over its layers, an image being
one observation; of twenty layers one is "sure" by chance.

Usage: nice python bench/science/taps.py [--cache DIR] [--network NAME]... [--set NAME]...
       [--layers N] [--images N] [--plots DIR]
Reads what cores.py left.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from science.asking import Part, headline, parser, parts
from science.held_out import paired, paired_means, trained, written
from science.plots import Curve, plot

NETWORKS = ("efficientnet-lite0", "squeezenet1.1")


def curves_of(part: Part) -> list[Curve]:
    """Print the table of a network over a set; return both curves."""
    core, labels, groups = part.core, part.labels, part.groups
    layers = [layer for layer in part.layers if layer.linear_key in core.codes]
    print(f"\n{core.set}, {core.backbone}: {len(labels)} images, {len(layers)} layers")
    print(f"{'depth':>5} {'layer':24} {'thresholded, 95 %':25} {'linear, 95 %':25} difference")
    low, linear = [], []
    for layer in layers:
        low.append(trained({layer.key: part.codes(layer.key)}, labels, groups))
        linear.append(trained({layer.key: part.codes(layer.linear_key)}, labels, groups))
        difference = paired(low[-1][1], linear[-1][1])
        print(
            f"{layer.depth:>5} {layer.name:24} {written(low[-1][0].accuracy):25} "
            f"{written(linear[-1][0].accuracy):25} {difference}{' sure' * difference.is_sure}",
            flush=True,
        )
    mean = paired_means([right for _, right in low], [right for _, right in linear])
    print(f"mean over layers: {mean}{' sure' * mean.is_sure}", flush=True)
    depths = [layer.depth / core.layers[-1].depth for layer in layers]
    return [
        Curve(f"{core.backbone}, {name}", depths, [training.accuracy for training, _ in found])
        for name, found in (("thresholded", low), ("linear", linear))
    ]


def main() -> None:
    asked = parser(__doc__, networks=NETWORKS).parse_args()
    print(headline())
    for set_name in asked.set or asked.sets:
        curves = [curve for part in parts(asked, set_name) for curve in curves_of(part)]
        if asked.plots is not None and curves:
            plot(
                curves, asked.plots / f"taps-{set_name}.png", f"Thresholded and linear: {set_name}"
            )


if __name__ == "__main__":
    main()
