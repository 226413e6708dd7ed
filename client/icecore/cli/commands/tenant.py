"""`icecore tenants ...`: for administrators, tenants, their keys and their quotas."""

from datetime import datetime
from typing import Any

import click

from icecore.cli.choices import json_option
from icecore.cli.commands.tenant_quota import quota, usage
from icecore.cli.connection import Connection, connected
from icecore.cli.help import group
from icecore.cli.output import Column, note, print_json, print_line, print_table
from icecore.client import Key


@group(
    "tenants",
    examples="""
    icecore tenants create acme
    icecore tenants create-key acme --label laptop        # prints the key, this once
    icecore tenants list-keys acme
    icecore tenants revoke-key acme KEY_ID
    icecore tenants quota acme --images-per-second 50 --storage 10GB
    icecore tenants usage
    """,
)
def tenants() -> None:
    """Make and delete tenants, their keys and quotas.

    These need the administrator's key: --key or ICECORE_KEY, or else the file
    admin.key of the data folder, which goes to that folder's own server only.
    """


@tenants.command("create", examples="icecore tenants create acme")
@click.argument("tenant")
@connected
def create(connection: Connection, tenant: str) -> None:
    """Make a tenant, without keys."""
    with connection.administrator() as client:
        client.create_tenant(tenant)
    print_line(f"tenant {tenant!r} is made; 'icecore tenants create-key {tenant}' makes it a key")


@tenants.command("list", examples="icecore tenants list --json")
@json_option
@connected
def list_tenants(connection: Connection, as_json: bool) -> None:
    """List all tenants."""
    with connection.administrator() as client:
        found = client.tenants()
    if as_json:
        print_json(
            [{"tenant": one.tenant_id, "create_time": one.create_time.isoformat()} for one in found]
        )
        return
    rows = [(one.tenant_id, _day(one.create_time)) for one in found]
    print_table([Column("tenant"), Column("made")], rows)


@tenants.command("delete", examples="icecore tenants delete acme")
@click.argument("tenant")
@connected
def delete(connection: Connection, tenant: str) -> None:
    """Delete a tenant with all it has, really.

    That is its keys, collections and probes.
    """
    with connection.administrator() as client:
        client.delete_tenant(tenant)
    print_line(f"tenant {tenant!r} is deleted")


@tenants.command(
    "create-key",
    examples="""
    icecore tenants create-key acme --label laptop
    ICECORE_KEY=$(icecore tenants create-key acme) icecore collections list
    """,
)
@click.argument("tenant")
@click.option("--label", default="", metavar="TEXT", help="What you call it.")
@json_option
@connected
def create_key(connection: Connection, tenant: str, label: str, as_json: bool) -> None:
    """Make a key and print it: this is the only time it can be read.

    The first key of any tenant ends the use without a key, on the server's own
    machine too. What was done without one belongs to the tenant "default".
    """
    with connection.administrator() as client:
        made = client.create_key(tenant, label=label)
    note(
        "now that there is a key, every call needs one, on this machine too; what was done "
        "without is of the tenant 'default'"
    )
    if as_json:
        print_json({**_key_json(made.key), "key": made.secret})
        return
    note(f"key {made.key.key_id!r} of tenant {tenant!r}; it is stored hashed and not shown again:")
    print_line(made.secret)


@tenants.command("list-keys", examples="icecore tenants list-keys acme")
@click.argument("tenant")
@json_option
@connected
def list_keys(connection: Connection, tenant: str, as_json: bool) -> None:
    """List a tenant's keys, without their secrets."""
    with connection.administrator() as client:
        found = client.keys(tenant)
    if as_json:
        print_json([_key_json(one) for one in found])
        return
    rows = [(one.key_id, one.label, _day(one.create_time)) for one in found]
    print_table([Column("key id"), Column("label"), Column("made")], rows)


@tenants.command("revoke-key", examples="icecore tenants revoke-key acme KEY_ID")
@click.argument("tenant")
@click.argument("key_id")
@connected
def revoke_key(connection: Connection, tenant: str, key_id: str) -> None:
    """Take a key away; calls with it are refused from now on."""
    with connection.administrator() as client:
        client.revoke_key(tenant, key_id)
    print_line(f"key {key_id!r} of tenant {tenant!r} is revoked")


tenants.add_command(quota)
tenants.add_command(usage)


def _key_json(key: Key) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "tenant": key.tenant_id,
        "label": key.label,
        "create_time": key.create_time.isoformat(),
    }


def _day(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M")
