"""`icecore backbones` and `icecore layers`: what codes can be read from."""

from typing import Any

import click

from icecore.cli import names
from icecore.cli.choices import json_option
from icecore.cli.connection import Connection, connected
from icecore.cli.help import command
from icecore.cli.names import completing
from icecore.cli.output import Column, note, print_json, print_table
from icecore.client import Backbone, Layer


@command("backbones", examples="icecore backbones\nicecore backbones --json | jq '.[].name'")
@json_option
@connected
def backbones(connection: Connection, as_json: bool) -> None:
    """List the server's backbones."""
    with connection.client() as client:
        found = client.backbones()
    if as_json:
        print_json([_backbone_json(one) for one in found])
        return
    columns = [Column("name"), Column("digest"), Column("layers", is_number=True)]
    columns += [Column("input"), Column("trained on"), Column("licence"), Column("")]
    rows = [
        (
            one.name,
            one.digest[:12],
            one.depths,
            f"{one.recipe.height}x{one.recipe.width}",
            one.card.trained_on,
            one.card.licence,
            "default" if one.is_default else "",
        )
        for one in found
    ]
    print_table(columns, rows)


@command(
    "layers",
    examples="""
    icecore layers efficientnet-lite0
    icecore layers efficientnet-lite0 --json | jq '.[] | select(.stride == 16) | .name'
    """,
)
@click.argument("backbone", default="", shell_complete=completing(names.backbones))
@click.option("--all", "show_all", is_flag=True, help="Also tensors without a depth.")
@json_option
@connected
def layers(connection: Connection, backbone: str, show_all: bool, as_json: bool) -> None:
    """List a backbone's layers (without a name: the default one's).

    Each row is a place where codes can be read; `--layer` takes its depth or
    its name. Parameters and multiply-accumulates count from the input to there.
    """
    with connection.client() as client:
        found = client.layers(backbone)
    if as_json:
        print_json([_layer_json(one) for one in found])
        return
    shown = [one for one in found if show_all or one.depth is not None]
    columns = [Column("depth", is_number=True), Column("name")]
    numbers = ("channels", "map", "stride", "codes", "params", "macs")
    columns += [Column(name, is_number=True) for name in numbers]
    columns += [Column("op")] if show_all else []
    rows = [
        (
            "-" if one.depth is None else one.depth,
            one.name,
            one.channels,
            f"{one.height}x{one.width}",
            one.stride,
            one.dims,
            f"{one.params:,}",
            f"{one.macs / 1e6:,.1f} M",
            *([one.op] if show_all else []),
        )
        for one in shown
    ]
    print_table(columns, rows)
    if len(shown) < len(found):
        note(f"{len(found) - len(shown)} more tensors have no depth of their own (--all)")


def _backbone_json(backbone: Backbone) -> dict[str, Any]:
    recipe, card = backbone.recipe, backbone.card
    return {
        "name": backbone.name,
        "digest": backbone.digest,
        "layers": backbone.depths,
        "is_default": backbone.is_default,
        "create_time": backbone.create_time.isoformat(),
        "recipe": {
            "height": recipe.height,
            "width": recipe.width,
            "resize": recipe.resize,
            "interpolation": recipe.interpolation,
            "channels": recipe.channels,
            "mean": list(recipe.mean),
            "std": list(recipe.std),
        },
        "card": {
            "source": card.source,
            "licence": card.licence,
            "trained_on": card.trained_on,
            "notes": card.notes,
        },
    }


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "depth": layer.depth,
        "name": layer.name,
        "channels": layer.channels,
        "height": layer.height,
        "width": layer.width,
        "stride": layer.stride,
        "thresholded": layer.thresholded,
        "dims": layer.dims,
        "params": layer.params,
        "macs": layer.macs,
        "op": layer.op,
    }
