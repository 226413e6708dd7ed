"""The `icecore` command: its sub-commands, each imported only when it is used."""

import importlib
from importlib.metadata import version
from typing import Any, cast

import click

from icecore.cli.help import HELP_SETTINGS, Group

COMMANDS = {
    "demo": "demo:demo",
    "serve": "serve:serve",
    "backbones": "backbone:backbones",
    "layers": "layers:layers",
    "embed": "embed:embed",
    "advise": "advise:advise",
    "train-probe": "train_probe:train_probe",
    "predict": "predict:predict",
    "search": "search:search",
    "probes": "probe:probes",
    "collections": "collection:collections",
    "tenants": "tenant:tenants",
    "completion": "completion:completion",
}
"""Name, and where it is below `icecore.cli.commands`; in the order a new user needs them."""


class LazyGroup(Group):
    """Knows the names of its commands before it imports them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's own
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(f"icecore.cli.commands.{module}"), name)
        return cast(click.Command, found)


def _version(context: click.Context, _: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"icecore {version('icecore')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    context_settings=HELP_SETTINGS,
    examples="""
    icecore demo                                  # the whole story on images drawn for it
    icecore train-probe ants-bees PHOTOS          # PHOTOS/ant/1.jpg, PHOTOS/bee/1.jpg, ...
    icecore predict ants-bees new.jpg
    icecore search ants-bees new.jpg -k 5
    """,
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=_version,
    is_eager=True,
    help="Show icecore's version and exit.",
)
def cli() -> None:
    """Transfer learning with frozen CNNs: codes at any depth, linear probes, search.

    Commands use the server of your data folder, which starts and ends by
    itself, unless --server or ICECORE_SERVER names another.
    """
