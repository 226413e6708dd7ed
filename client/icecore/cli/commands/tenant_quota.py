"""`icecore tenants quota` and `icecore tenants usage`."""

from dataclasses import asdict, replace
from typing import Any

import click

from icecore.cli.choices import Whole, json_option
from icecore.cli.connection import Connection, connected
from icecore.cli.help import command
from icecore.cli.output import Column, note, print_json, print_table
from icecore.cli.sizes import shown, size
from icecore.client import Client, PermissionDenied, Quota, Reason, Usage

REJECTED = (
    "counts images refused by a quota or a full server, each time they came; clients send "
    "them again when the server says"
)

NO_LIMIT = "no limit"


class Number(click.FloatRange):
    """Called so in errors."""

    name = "number"


@command(
    "quota",
    examples="""
    icecore tenants quota acme                                       # shows it
    icecore tenants quota acme --images-per-second 50 --burst 200    # changes these alone
    icecore tenants quota acme --storage 10GB --in-flight 256 --weight 2
    icecore tenants quota acme --storage 0                           # no limit
    icecore tenants quota acme --no-limits
    """,
)
@click.argument("tenant")
@click.option(
    "--images-per-second",
    type=Number(min=0.0),
    metavar="N",
    help="Over all calls: one in a hundred calls counts as a hundred in one.",
)
@click.option(
    "--burst",
    "burst_images",
    type=Whole(min=0),
    metavar="N",
    help="Images that may come at once after a pause; 0: those of one second.",
)
@click.option(
    "--in-flight",
    "max_images_in_flight",
    type=Whole(min=0),
    metavar="N",
    help="Images taken in and not yet answered, over all calls.",
)
@click.option(
    "--storage",
    "storage_bytes",
    type=size,
    metavar="SIZE",
    help="Images, codes and probes in the store: 500MB, 10GB, 1TiB.",
)
@click.option(
    "--weight",
    type=Number(min=0.0, min_open=True),
    metavar="W",
    help="Share of the processor beside other tenants that want it too; 1 unless said.",
)
@click.option("--no-limits", is_flag=True, help="Take away what was set before.")
@json_option
@connected
def quota(
    connection: Connection, /, tenant: str, no_limits: bool, as_json: bool, **given: Any
) -> None:
    """Show what a tenant may use, or change it.

    What is not named stays as it is, and 0 means no limit. It holds from the next
    call on; what is stored already stays.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    with connection.administrator() as client:
        found = client.usage(tenant).quota
        if wanted or no_limits:
            found = client.set_quota(tenant, replace(Quota() if no_limits else found, **wanted))
    if as_json:
        print_json({"tenant": tenant, **asdict(found)})
        return
    burst = f" (burst {found.burst_images:,})" if found.burst_images else ""
    rows = [
        ("images a second", _or_no_limit(f"{found.images_per_second:g}") + burst),
        ("images in flight", _or_no_limit(f"{found.max_images_in_flight:,}")),
        ("storage", _or_no_limit(shown(found.storage_bytes), "0 B")),
        ("weight", f"{found.weight:g}"),
    ]
    print_table([Column(f"quota of {tenant!r}"), Column("")], rows)


@command(
    "usage",
    examples="""
    icecore tenants usage                 # of all tenants; with a tenant's key, its own
    icecore tenants usage acme --json
    """,
)
@click.argument("tenant", default="")
@json_option
@connected
def usage(connection: Connection, tenant: str, as_json: bool) -> None:
    """Show what tenants have stored and had done.

    Of all tenants with the administrator's key; a tenant's key shows its own. What was
    done is counted since the server started. "rejected" are images refused
    by a quota or a full server, each time they came: clients send them again when the
    server says, so most of them are done in the end.
    """
    with connection.administrator() as client:
        found = [client.usage(tenant)] if tenant else _of_all(client)
    if as_json:
        print_json([_json(one) for one in found])
        return
    titles = ("images", "cached", "rejected", "CPU s", "in flight", "examples", "probes", "stored")
    rows = [
        (
            one.tenant_id,
            f"{one.n_images:,}",
            f"{one.n_cached_images:,}",
            f"{one.n_rejected_images:,}",
            f"{one.cpu_seconds:,.1f}",
            f"{one.n_images_in_flight:,}",
            f"{one.n_examples:,}",
            f"{one.n_probes:,}",
            shown(one.storage_bytes),
            _or_no_limit(shown(one.quota.storage_bytes), "0 B"),
        )
        for one in found
    ]
    columns = [Column("tenant"), *(Column(title, is_number=True) for title in titles)]
    print_table([*columns, Column("of", is_number=True)], rows)
    if any(one.n_rejected_images for one in found):
        note(f"'rejected' {REJECTED}")


def _of_all(client: Client) -> list[Usage]:
    try:
        names = [one.tenant_id for one in client.tenants()]
    except PermissionDenied as error:
        if error.reason != Reason.ADMIN_REQUIRED:
            raise
        return [client.usage()]
    return [client.usage(name) for name in names]


def _or_no_limit(text: str, nothing: str = "0") -> str:
    return NO_LIMIT if text == nothing else text


def _json(one: Usage) -> dict[str, Any]:
    fields = asdict(one)
    fields["tenant"] = fields.pop("tenant_id")
    fields["since"] = one.since.isoformat()
    return fields
