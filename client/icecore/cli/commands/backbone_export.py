"""`icecore backbones export`: a torch network as an ONNX file that can be added."""

import os
import subprocess
import sys
from pathlib import Path

import click

from icecore.cli.choices import FOLDER, Whole
from icecore.cli.help import HELP_SETTINGS, LocalCommand
from icecore.cli.mistakes import Mistake


@click.command(
    "export",
    cls=LocalCommand,
    context_settings=HELP_SETTINGS,
    examples="""
    icecore backbones export torchvision:resnet50         # writes resnet50.onnx
    icecore backbones export timm:vit_small_patch16_224 --out vit.onnx
    icecore backbones export my_networks:build --size 64
    icecore backbones add resnet50 resnet50.onnx          # then
    """,
)
@click.argument("spec", metavar="SPEC")
@click.option("--out", type=FOLDER, metavar="FILE.onnx", help="NAME.onnx here without.")
@click.option("--size", type=Whole(min=1), metavar="PIXELS", help="Side of the input.")
@click.option("--weights", default="", metavar="TAG", help="Other weights than the usual ones.")
@click.option("--random", "is_random", is_flag=True, help="Random weights, nothing is fetched.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def export(
    spec: str, out: Path | None, size: int | None, weights: str, is_random: bool, as_json: bool
) -> None:
    """Turn a torch network into an ONNX file.

    SPEC is torchvision:NAME, timm:NAME, or MODULE:CALLABLE for a function that
    returns a network. Layers have their modules' names, batch norms and paddings are
    folded, and what the file computes is compared with torch, layer by layer. Recipe
    and card go into the file. Runs on this machine and needs torch:
    pip install 'icecore[export]'.
    """
    path = out or Path(f"{spec.rpartition(':')[2]}.onnx")
    if path.suffix != ".onnx":
        raise Mistake(f"--out is {str(path)!r}, but must end in .onnx")
    arguments = ["export", spec, "--out", str(path)]
    if size is not None:
        arguments += ["--size", str(size)]
    if weights:
        arguments += ["--weights", weights]
    arguments += ["--random"] if is_random else []
    arguments += ["--json"] if as_json else []
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "icecore.server.backbones", *arguments]
    done = subprocess.run(command, check=False, env=dict(os.environ))
    if done.returncode:
        raise click.exceptions.Exit(done.returncode)
