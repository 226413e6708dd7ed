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
from icecore.cli.codes_file import codes_writer
from icecore.cli.connection import Connection, connected
from icecore.cli.folders import image_files
from icecore.cli.help import command
from icecore.cli.output import note
from icecore.cli.progress import working
from icecore.cli.readable import require_readable
from icecore.client import Codes


@command(
    "embed",
    examples="""
    icecore embed photos --out codes.npz                       # arrays `paths` and `codes`
    icecore embed a.jpg b.png --out codes.npz --layer 17 --layer -1
    icecore embed photos --out core.npz --layer '*' --dtype float16
    """,
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", required=True, type=FOLDER, metavar="FILE", help=".npz or .parquet.")
@layer_options("-1", "A depth, a name, or '*' for all; again for several.")
@backbone_option
@pool_option
@activation_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True
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
    skip_bad: bool,
) -> None:
    """Write the codes of images, from files or folders, to a file.

    The file holds `paths`, and `codes` of one layer or an array a layer name.
    """
    write = codes_writer(out)
    files = image_files(paths)
    with connection.client() as client:
        client.backbone(backbone)  # a wrong name is found before the files are read
        files = require_readable(files, lambda path: path, skip_bad=skip_bad)
        parts: list[list[Codes]] = []
        with working("embedding", len(files), unit="images") as work:
            for batch in client.embed_stream(
                files,
                backbone=backbone,
                layers=layers,
                activation=activation,
                pooling=pooling,
                dtype=dtype,
            ):
                parts.append(batch)
                work.advance(len(batch[0]))
    codes = [Codes.concatenate(one) for one in zip(*parts, strict=True)]
    write([str(path) for path in files], codes)
    shapes = ", ".join(f"{one.tap} {one.values.shape}" for one in codes[:5])
    note(f"{str(out)!r}: {shapes}{f' and {len(codes) - 5} more' if len(codes) > 5 else ''}")
