"""What can be done with backbones without a server.

    python -m icecore.server.backbones FILE.onnx              writes the default backbone's graph
    python -m icecore.server.backbones export SPEC --out ...  a torch network as an ONNX file

A server that has not the default's weights is started with `--default-graph FILE.onnx`.
`icecore backbones export` runs the second, which needs the extra `export`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from icecore.server.backbones.lite0 import efficientnet_lite0

USAGE = """usage: python -m icecore.server.backbones FILE.onnx
       python -m icecore.server.backbones export SPEC --out FILE.onnx [...]"""


def main(arguments: Sequence[str]) -> int:
    """Return the exit status; 2 when called otherwise."""
    if arguments[:1] == ["export"]:
        from icecore.server.backbones.exporting import command

        return command.main(arguments[1:])
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    path = Path(arguments[0])
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(efficientnet_lite0.build(efficientnet_lite0.read_weights()))
    aside.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
