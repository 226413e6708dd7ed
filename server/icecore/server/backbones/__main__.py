"""Writes the default backbone's graph to a file, for servers that have not its weights.

    python -m icecore.server.backbones FILE.onnx

Start the server with `--default-graph FILE.onnx` then.
"""

import sys
from pathlib import Path

from icecore.server.backbones.lite0 import efficientnet_lite0


def main() -> int:
    """Write the file whole or not at all; 2 when called otherwise."""
    if len(sys.argv) != 2:
        print("usage: python -m icecore.server.backbones FILE.onnx", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(efficientnet_lite0.build(efficientnet_lite0.read_weights()))
    aside.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
