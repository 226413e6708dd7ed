"""`python -m icecore.server.backbones export SPEC --out FILE.onnx`.

Progress goes to standard error, the result to standard output: words, or with
--json one object. Exit status 0, 2 for the caller's mistakes, 3 for all else.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from icecore.server.backbones.exporting.export import Exported, export
from icecore.server.backbones.exporting.mistakes import ExportError, SpecMistake, told_of
from icecore.server.backbones.exporting.subject import Wish
from icecore.server.backbones.recipes.recipe import MAX_SIDE

NO_WEIGHTS = "none"


def main(arguments: Sequence[str]) -> int:
    """Export, say what was done, return the exit status."""
    wanted = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        path = _path(wanted.out)
        is_random = wanted.is_random or wanted.weights == NO_WEIGHTS
        if wanted.size is not None and not 0 < wanted.size <= MAX_SIDE:
            raise SpecMistake(f"--size is {wanted.size}, but must be from 1 to {MAX_SIDE} pixels")
        wish = Wish(wanted.size, "" if is_random else wanted.weights, is_random)
        # Networks and libraries print as they like: the result stands alone on standard output.
        with contextlib.redirect_stdout(sys.stderr):
            exported = export(wanted.spec, wish, _progress)
        _write(path, exported.file)
    except ExportError as error:
        print(f"icecore: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"icecore: {wanted.out!r} cannot be written: {error}", file=sys.stderr)
        return 3
    except Exception as error:  # the door: what others' libraries and networks can raise is open
        print(f"icecore: the export of {wanted.spec!r} failed: {told_of(error)}", file=sys.stderr)
        return 3
    seconds = round(time.monotonic() - started, 1)
    if wanted.as_json:
        print(json.dumps(_fields(exported, wanted.spec, path, seconds)))
    else:
        print(_words(exported, path))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icecore backbones export",
        description="Turn a torch network into a checked ONNX file.",
    )
    parser.add_argument("spec", metavar="SPEC", help="torchvision:NAME, timm:NAME, MODULE:CALLABLE")
    parser.add_argument("--out", required=True, metavar="FILE.onnx")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the input")
    parser.add_argument("--weights", default="", metavar="TAG", help="other than the usual; none")
    parser.add_argument("--random", dest="is_random", action="store_true", help="random weights")
    parser.add_argument("--json", dest="as_json", action="store_true", help="one line of JSON")
    return parser


def _path(out: str) -> Path:
    """Where to write, known to be possible before minutes of work."""
    path = Path(out)
    if not path.parent.is_dir():
        raise SpecMistake(f"--out is {out!r}, but there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise SpecMistake(f"--out is {out!r}, which is a folder")
    return path


def _write(path: Path, file: bytes) -> None:
    """Whole or not at all."""
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(file)
    aside.replace(path)


def _progress(words: str) -> None:
    print(f"icecore: {words}", file=sys.stderr, flush=True)


def _fields(exported: Exported, spec: str, path: Path, seconds: float) -> dict[str, object]:
    recipe = exported.recipe
    return {
        "file": str(path),
        "bytes": len(exported.file),
        "sha256": exported.sha256,
        "spec": spec,
        "height": exported.height,
        "width": exported.width,
        "batch": "open" if exported.is_batch_open else "one",
        "layers": exported.n_layers,
        "depths": list(exported.depths),
        "comparison": {
            "layers": exported.comparison.n_layers,
            "worst": exported.comparison.worst,
            "share_of_peak": exported.comparison.share,
        },
        "recipe": None if recipe is None else recipe.to_json(),
        "card": exported.card.to_json(),
        "seconds": seconds,
    }


def _words(exported: Exported, path: Path) -> str:
    fed = (
        "its recipe is in the file"
        if exported.recipe
        else "the network has no recipe: give one with --recipe when you add it"
    )
    return (
        f"{path}: {len(exported.depths)} layers with a depth, {len(exported.file):,} bytes; "
        f"{exported.comparison.n_layers} layers compared with torch, at most "
        f"{exported.comparison.share:.1e} of a layer's peak from it "
        f"(at {exported.comparison.worst}); {fed}"
    )
