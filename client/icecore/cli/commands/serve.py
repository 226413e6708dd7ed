"""`icecore serve`: this process becomes the server."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from icecore.cli.choices import FOLDER
from icecore.cli.connection import Connection
from icecore.cli.help import HELP_SETTINGS, LocalCommand
from icecore.cli.mistakes import Mistake
from icecore.cli.server_flags import as_arguments, server_flags
from icecore.client import data_folder


@click.command(
    "serve",
    cls=LocalCommand,
    context_settings=HELP_SETTINGS,
    examples="""
    icecore serve                                     # the data folder's own socket only
    icecore serve --listen 127.0.0.1:8471             # this machine; no key needed yet
    icecore serve --listen 0.0.0.0:8471 --tls-cert server.crt --tls-key server.key
    icecore serve --data /srv/icecore --listen 0.0.0.0:8471 --insecure-transport
    """,
)
@click.option("--data", type=FOLDER, help="The data folder (ICECORE_DATA).")
@server_flags
def serve(data: Path | None, **flags: object) -> NoReturn:
    """Serve one data folder until Ctrl-C or SIGTERM.

    Its own socket is always served, with --listen a TCP address too. Beyond
    this machine keys are needed, and TLS or --insecure-transport. The first
    start makes the administrator's key and writes it to DATA/admin.key.
    """
    given = Connection.given()
    if given.server is not None:
        raise Mistake("--server names a server to call; 'icecore serve' is one: use --listen")
    flags["insecure_transport"] = flags["insecure_transport"] or given.insecure_transport
    folder = str(data_folder(data or given.data))
    command = [sys.executable, "-m", "icecore.server", "--data", folder, *as_arguments(flags)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, command)  # noqa: S606 - the server takes this process over
