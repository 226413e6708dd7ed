"""`icecore layers`: where codes can be read, and what it costs."""

from pathlib import Path
from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import FOLDER, json_option
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import require_place
from icecore.cli.help import command
from icecore.cli.names import completing
from icecore.cli.output import Column, note, print_json, print_table
from icecore.client import Layer

_ENDS = ("logits", "probabilities")
"""Roles of the layers that are shown though they have no depth."""


@command(
    "layers",
    examples="""
    icecore layers efficientnet-lite0
    icecore layers efficientnet-lite0 --plot layers.png
    icecore layers efficientnet-lite0 --json | jq '.[] | select(.stride == 16) | .name'
    """,
)
@click.argument("backbone", default="", shell_complete=completing(names.backbones))
@click.option("--all", "show_all", is_flag=True, help="Also tensors without a depth.")
@click.option(
    "--plot",
    type=FOLDER,
    metavar="FILE.png",
    help="Draw channels, map size and cost against depth.",
)
@json_option
@connected
def layers(
    connection: Connection, backbone: str, show_all: bool, plot: Path | None, as_json: bool
) -> None:
    """List a backbone's layers (without a name: the default one's).

    Each row is a place where codes can be read; `--layer` takes its depth or
    its name. "sees" is the side in input pixels of what one position of the map can
    see. Parameters and multiply-accumulates count from the input to there. A map of
    "1+14x14" has a class token in front, which `--pool cls` reads.
    """
    if plot is not None:
        require_place(plot, ".png")
    with connection.client() as client:
        found = client.layers(backbone)
        name = client.backbone(backbone).name if plot is not None else ""
    if plot is not None:
        from icecore.cli.plots.layer_plot import plot_layers  # takes a second to import

        plot_layers(found, plot, name=name)
    if as_json:
        print_json([_layer_json(one) for one in found])
    else:
        _print_layers(found, show_all=show_all)
    if plot is not None:
        note(f"drawn: {str(plot)!r}")


def _print_layers(found: list[Layer], *, show_all: bool) -> None:
    shown = [one for one in found if show_all or one.depth is not None or one.role in _ENDS]
    columns = [Column("depth", is_number=True), Column("name")]
    numbers = ("channels", "map", "stride", "sees", "codes", "params", "macs")
    columns += [Column(name, is_number=True) for name in numbers]
    columns += [Column("role")]
    columns += [Column("op"), Column("threshold")] if show_all else []
    rows = [
        (
            "-" if one.depth is None else one.depth,
            one.name,
            one.channels,
            _size(one),
            one.stride,
            one.receptive_field,
            one.dims,
            f"{one.params:,}",
            f"{one.macs / 1e6:,.1f} M",
            one.role,
            *([one.op, "yes" if one.thresholded else ""] if show_all else []),
        )
        for one in shown
    ]
    print_table(columns, rows)
    ranked = [one for one in found if one.depth is not None]
    if ranked and not any(one.thresholded for one in ranked):
        note("this network thresholds nothing, so depths count its blocks, as they are")
    if len(shown) < len(found):
        note(f"{len(found) - len(shown)} more tensors have no depth of their own (--all)")


def _size(layer: Layer) -> str:
    size = f"{layer.height}x{layer.width}"
    return f"{layer.prefix_tokens}+{size}" if layer.prefix_tokens else size


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "depth": layer.depth,
        "name": layer.name,
        "channels": layer.channels,
        "height": layer.height,
        "width": layer.width,
        "stride": layer.stride,
        "receptive_field": layer.receptive_field,
        "prefix_tokens": layer.prefix_tokens,
        "thresholded": layer.thresholded,
        "role": layer.role,
        "dims": layer.dims,
        "params": layer.params,
        "macs": layer.macs,
        "op": layer.op,
    }
