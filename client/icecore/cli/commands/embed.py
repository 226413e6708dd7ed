"""`icecore embed`: images in, a file of codes out."""

from pathlib import Path

import click

from icecore.cli.choices import (
    FOLDER,
    activation_option,
    backbone_option,
    layer_options,
    pool_option,
    skip_bad_option,
)
from icecore.cli.codes_files.part_file import PartFile, part_path
from icecore.cli.codes_files.writing import require_writable
from icecore.cli.connection import Connection, connected
from icecore.cli.embedding import Asked, bring_codes, write_codes
from icecore.cli.folders import image_files
from icecore.cli.help import command


@command(
    "embed",
    examples="""
    icecore embed photos --out codes.npz                       # arrays `paths` and `codes`
    icecore embed a.jpg b.png --out codes.npz --layer 17 --layer -1
    icecore embed photos --out core.npz --layer '*' --dtype float16
    icecore embed photos --out codes.parquet --downscale       # a column a layer; sends less
    """,
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--out", required=True, type=FOLDER, metavar="FILE", help=".npz, .parquet, .arrow or .feather."
)
@layer_options("-1", "A depth, a name, or '*' for all; again for several.")
@backbone_option
@pool_option
@activation_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True
)
@click.option(
    "--downscale",
    is_flag=True,
    help="Send large images as the pixels that the network sees: the same codes, if Pillow is of "
    "the server's release.",
)
@click.option(
    "--restart", is_flag=True, help="Begin anew, also where an interrupted command left codes."
)
@skip_bad_option
@connected
def embed(
    connection: Connection,
    paths: tuple[Path, ...],
    out: Path,
    layers: tuple[str, ...],
    backbone: str,
    pooling: str,
    activation: str,
    dtype: str,
    downscale: bool,
    restart: bool,
    skip_bad: bool,
) -> None:
    """Write the codes of images, from files or folders, to a file.

    The file holds `paths`, and `codes` of one layer or an array a layer name.

    Any number of images will do: none are held in memory for longer than they take.
    After an interruption the same command goes on where it was; files that have
    changed since are embedded again.
    """
    files = image_files(paths)
    require_writable(out, files)
    with connection.client() as client:
        asked = Asked(client.backbone(backbone), layers, activation, pooling, dtype, downscale)
        with PartFile(part_path(out), asked.identity, restart=restart) as part:
            bad = bring_codes(client, asked, files, part)
            write_codes(out, files, part, bad, skip_bad=skip_bad)
