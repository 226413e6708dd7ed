"""The entry of the `icecore` command; says what to install where its packages are missing."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` unless given) and return its exit status."""
    try:
        import click  # noqa: F401 - only to see whether they are there
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"icecore: the command line needs {error.name!r}: pip install 'icecore[cli]'\n"
        )
        return 2
    # Errors are one line of ours; gRPC's log would stand beside it. To be set before its import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from icecore.cli.door import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
