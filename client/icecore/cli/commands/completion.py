"""`icecore completion`: the script that teaches a shell the command's words."""

import click
from click.shell_completion import get_completion_class

from icecore.cli.help import HELP_SETTINGS, LocalCommand
from icecore.cli.mistakes import Mistake
from icecore.cli.output import print_line


@click.command(
    "completion",
    cls=LocalCommand,
    context_settings=HELP_SETTINGS,
    examples="""
    icecore completion bash >> ~/.bashrc
    icecore completion zsh >> ~/.zshrc
    icecore completion fish > ~/.config/fish/completions/icecore.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete `icecore`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Mistake(f"there is no completion for {shell!r}")
    script = kind(context.find_root().command, {}, "icecore", "_ICECORE_COMPLETE")
    # Of the base class' two ways the one that does not look for the shell's version.
    print_line((script.source_template % script.source_vars()).strip())
