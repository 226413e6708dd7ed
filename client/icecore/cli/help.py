"""Commands whose `--help` ends with examples, and shows the server's options apart."""

import difflib
import textwrap
from collections.abc import Callable
from typing import Any

import click

from icecore.cli.connection import ServerOption, server_options

HELP_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Helpful(click.Command):
    """What commands and groups share."""

    def __init__(self, *args: Any, examples: str = "", **attributes: Any) -> None:
        attributes["params"] = [*(attributes.get("params") or []), *self.own_options()]
        super().__init__(*args, **attributes)
        self.examples = textwrap.dedent(examples).strip()

    def own_options(self) -> list[click.Option]:
        return server_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        ours: list[tuple[str, str]] = []
        servers: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (servers if isinstance(parameter, ServerOption) else ours).append(record)
        for title, records in (("Options", ours), ("Which server", servers)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}".rstrip() + "\n")


class Command(_Helpful):
    """A command that talks to a server."""


class LocalCommand(_Helpful):
    """A command that talks to none."""

    def own_options(self) -> list[click.Option]:
        return []


class Group(_Helpful, click.Group):
    """A group of commands; its server options hold for all of them."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names)
            known = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(names)}"
            raise click.UsageError(f"there is no command {args[0]!r}: {known}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command, as `click.command` does."""
    return click.command(name, cls=Command, context_settings=HELP_SETTINGS, examples=examples)


def group(
    name: str, *, examples: str, runs_alone: bool = False
) -> Callable[[Callable[..., Any]], Group]:
    """Make a function a group of commands; with `runs_alone` it does something without one."""
    return click.group(
        name,
        cls=Group,
        context_settings=HELP_SETTINGS,
        examples=examples,
        invoke_without_command=runs_alone,
    )
