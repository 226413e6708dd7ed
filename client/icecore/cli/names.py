"""Names that a shell completes: of probes, collections, layers and so on.

They are asked of a server that runs already; none is started for a TAB, and
where there is none, or no right to ask, nothing is completed.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from icecore.cli.connection import Connection
from icecore.cli.mistakes import Mistake
from icecore.client import Client, IcecoreError, data_folder
from icecore.client.local import running_address

TIMEOUT_S = 1.0
"""A person waits for this."""

Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def probes(client: Client, _: click.Context) -> list[str]:
    return [one.probe_id for one in client.probes()]


def collections(client: Client, _: click.Context) -> list[str]:
    return [one.collection_id for one in client.collections()]


def backbones(client: Client, _: click.Context) -> list[str]:
    return [one.name for one in client.backbones()]


def layers(client: Client, context: click.Context) -> list[str]:
    """Return the layers with a depth of the backbone that the command line names."""
    found = client.layers(context.params.get("backbone") or "")
    return [one.name for one in found if one.depth is not None]


def completing(names: Callable[[Client, click.Context], Iterable[str]]) -> Complete:
    """Return what click asks for the words that may stand here."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            with _running(Connection.of(context)) as client:
                found = list(names(client, context))
        except (IcecoreError, Mistake, OSError):
            return []  # there is nobody to tell
        return [CompletionItem(one) for one in found if one.startswith(begun)]

    return complete


def _running(connection: Connection) -> Client:
    """A client of the server named, or of the data folder's where it runs."""
    settled: dict[str, Any] = {"timeout_s": TIMEOUT_S}
    if not connection.is_elsewhere:
        address = running_address(data_folder(connection.data))
        if address is None:
            raise Mistake("no server runs")
        settled |= {"server": address, "data": None}
    return replace(connection, **settled).client()
