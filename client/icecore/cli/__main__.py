"""The entry of the `icecore` command; says what to install where its packages are missing."""

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` unless given) and return its exit status."""
    # Ctrl-C while things are imported ends this without a traceback.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import click  # noqa: F401 - only to see whether they are there
        import rich  # noqa: F401

        # Errors are one line of ours; gRPC's log would stand beside it. Before its import:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from icecore.cli.door import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"icecore: the command line needs {error.name!r}: pip install 'icecore[cli]'\n"
        )
        return 2
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
