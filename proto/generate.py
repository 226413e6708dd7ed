"""Writes the stubs of `icecore.v1` beside their .proto files; --check compares only."""

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent
GENERATOR = "1.74.0"
"""Pinned low on purpose: generated stubs set the floors of grpcio and protobuf."""


def generate(out: Path) -> None:
    """Write every stub below `out`, as `icecore/v1/*_pb2*.py[i]`."""
    protos = sorted(ROOT.glob("icecore/v1/*.proto"))
    include = Path(protoc.__file__).parent / "_proto"
    plugins = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"--proto_path={ROOT}",
        f"--proto_path={include}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *(str(path) for path in protos),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")


def stubs(root: Path) -> dict[str, bytes]:
    """The generated files below `root`, by name."""
    return {
        path.name: path.read_bytes() for path in sorted((root / "icecore/v1").glob("*_pb2*.py*"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if they differ")
    check = parser.parse_args().check
    if version("grpcio-tools") != GENERATOR:
        raise SystemExit(f"grpcio-tools is {version('grpcio-tools')}, but must be {GENERATOR}")
    if not check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, committed = stubs(Path(folder)), stubs(ROOT)
    stale = sorted(name for name in fresh | committed if fresh.get(name) != committed.get(name))
    if stale:
        raise SystemExit(f"stubs are not up to date: {', '.join(stale)}; run `make proto`")


if __name__ == "__main__":
    main()
