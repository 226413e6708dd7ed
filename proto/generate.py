"""Writes what is generated beside the .proto files; --check compares only.

Of `icecore.v1` stubs as usual. Of `icecore.kserve` the descriptor set, and types for the
module that makes messages from it: generated code would register in protobuf's default
pool, where other programs have the same names.
"""

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent
GENERATOR = "1.74.0"
"""Pinned low on purpose: generated stubs set the floors of grpcio and protobuf."""


KSERVE = Path("icecore/kserve/open_inference.proto")
GENERATED = (
    "icecore/v1/*_pb2*.py*",
    str(KSERVE.with_suffix(".binpb")),
    str(KSERVE.with_suffix(".pyi")),
)


def generate(out: Path) -> None:
    """Write every generated file below `out`."""
    protos = sorted(ROOT.glob("icecore/v1/*.proto"))
    _protoc(
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *(str(path) for path in protos),
    )
    kserve = out / KSERVE
    kserve.parent.mkdir(parents=True, exist_ok=True)
    _protoc(
        f"--descriptor_set_out={kserve.with_suffix('.binpb')}",
        f"--mypy_out=quiet:{out}",
        str(ROOT / KSERVE),
    )
    kserve.with_name(f"{kserve.stem}_pb2.pyi").replace(kserve.with_suffix(".pyi"))


def generated(root: Path) -> dict[str, bytes]:
    """The generated files below `root`, by name."""
    found = (path for pattern in GENERATED for path in sorted(root.glob(pattern)))
    return {path.name: path.read_bytes() for path in found}


def _protoc(*arguments: str) -> None:
    include = Path(protoc.__file__).parent / "_proto"
    plugins = Path(sys.executable).parent
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={include}",
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            *arguments,
        ]
    )
    if status != 0:
        raise SystemExit("protoc failed")


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
        fresh, committed = generated(Path(folder)), generated(ROOT)
    stale = sorted(name for name in fresh | committed if fresh.get(name) != committed.get(name))
    if stale:
        raise SystemExit(
            f"generated files are not up to date: {', '.join(stale)}; run `make proto`"
        )


if __name__ == "__main__":
    main()
