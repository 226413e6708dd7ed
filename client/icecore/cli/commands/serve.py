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
@click.option("--listen", metavar="HOST:PORT", help="Serve TCP too; port 0 is any free one.")
@click.option("--data", type=FOLDER, help="The data folder (ICECORE_DATA).")
@click.option("--require-keys", is_flag=True, help="No key is no tenant, not even on this machine.")
@click.option("--tls-cert", type=FOLDER, metavar="FILE", help="Certificate chain, PEM.")
@click.option("--tls-key", type=FOLDER, metavar="FILE", help="Private key, PEM.")
@click.option(
    "--insecure-transport", is_flag=True, help="Listen without TLS: something in front does it."
)
@click.option(
    "--threads", type=int, metavar="N", help="For decoding and the network; 0: one a core."
)
@click.option("--training-workers", type=int, metavar="N", help="Training jobs at once.")
@click.option("--max-message-mb", type=int, metavar="MB", help="Largest message taken.")
@click.option(
    "--until-idle", type=float, metavar="SECONDS", help="End so long after the last call."
)
def serve(
    listen: str | None,
    data: Path | None,
    require_keys: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure_transport: bool,
    threads: int | None,
    training_workers: int | None,
    max_message_mb: int | None,
    until_idle: float | None,
) -> NoReturn:
    """Serve one data folder until Ctrl-C or SIGTERM.

    Its own socket is always served, with --listen a TCP address too. Beyond
    this machine keys are needed, and TLS or --insecure-transport. The first
    start makes the administrator's key and writes it to DATA/admin.key.
    """
    given = Connection.given()
    if given.server is not None:
        raise Mistake("--server names a server to call; 'icecore serve' is one: use --listen")
    arguments = ["--data", str(data_folder(data or given.data))]
    for name, value in (
        ("--listen", listen),
        ("--tls-cert", tls_cert),
        ("--tls-key", tls_key),
        ("--threads", threads),
        ("--training-workers", training_workers),
        ("--max-message-mb", max_message_mb),
        ("--until-idle", until_idle),
    ):
        if value is not None:
            arguments += [name, str(value)]
    if require_keys:
        arguments.append("--require-keys")
    if insecure_transport or given.insecure_transport:
        arguments.append("--insecure-transport")
    command = [sys.executable, "-m", "icecore.server", *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, command)  # noqa: S606 - the server takes this process over
