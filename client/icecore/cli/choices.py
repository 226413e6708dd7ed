"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from icecore.cli import names
from icecore.cli.names import completing
from icecore.client import Activation, Metric, PoolingKind, ProbeKind

FOLDER = click.Path(path_type=Path)
"""A folder or file that the command looks at itself, to say what is wrong with it."""


class Whole(click.IntRange):
    """A whole number, called so in errors."""

    name = "whole number"


json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
backbone_option = click.option(
    "--backbone",
    default="",
    metavar="NAME",
    shell_complete=completing(names.backbones),
    help="A backbone; without it, the default one.",
)
activation_option = click.option(
    "--activation",
    type=click.Choice([one.value for one in Activation]),
    default=Activation.AS_TRAINED.value,
    show_default=True,
    help="What is read at a layer: after the network's own threshold, a forced ReLU, or before.",
)
pool_option = click.option(
    "--pool",
    "pooling",
    type=click.Choice([one.value for one in PoolingKind]),
    default=PoolingKind.AVG.value,
    show_default=True,
    help="How a map becomes a vector.",
)
chosen_pool_option = click.option(
    "--pool",
    "pooling",
    type=click.Choice([*(one.value for one in PoolingKind), "auto"]),
    default=PoolingKind.AVG.value,
    show_default=True,
    help="How a map becomes a vector; auto: some are tried at the chosen layer.",
)
kind_option = click.option(
    "--kind",
    type=click.Choice([one.value for one in ProbeKind]),
    default=ProbeKind.SOFTMAX.value,
    show_default=True,
    help="One-vs-rest linear SVM, or multinomial logistic regression.",
)
metric_option = click.option(
    "--metric",
    type=click.Choice([one.value for one in Metric]),
    default=Metric.COSINE.value,
    show_default=True,
    help="Order of likeness.",
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Leave out files that cannot be read, and name them."
)
not_worse_option = click.option(
    "--not-worse-by",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="Promote only if the 95 % interval of its accuracy minus the promoted version's does "
    "not go below -POINTS.",
)


def _seed(_: click.Context, parameter: click.Parameter, value: int) -> int:
    # No range of the type's, which help would spell out to its last digit.
    if value >= 1 << 64:
        raise click.BadParameter(f"{value} is not below 2**64.", param=parameter)
    return value


seed_option = click.option(
    "--seed",
    type=Whole(min=0),
    callback=_seed,
    default=0,
    show_default=True,
    metavar="N",
    help="Of the folds.",
)
prune_option = click.option(
    "--prune", is_flag=True, help="Remove examples whose files are no longer there."
)


def layer_options(default: str, text: str) -> Callable[[Any], Any]:
    """Return a `--layer` that may be given several times."""
    return click.option(
        "--layer",
        "layers",
        multiple=True,
        default=(default,),
        show_default=True,
        metavar="L",
        shell_complete=completing(names.layers),
        help=text,
    )


def accuracy_of(points: float | None) -> float | None:
    """Return points (of 100) as an accuracy in 0..1."""
    return None if points is None else points / 100
