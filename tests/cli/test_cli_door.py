"""Every error is one line and a status; nothing else leaves the command line."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import icecore.client
from cli_runs import Icecore
from icecore.cli.app import COMMANDS, cli
from icecore.cli.door import HINTS, sentence_of, status_of
from icecore.cli.help import Group
from icecore.cli.mistakes import Mistake
from icecore.client import (
    FailedPrecondition,
    IcecoreError,
    LocalServerError,
    Reason,
    ResourceExhausted,
    TrainingFailed,
    VersionState,
)
from icecore.client.errors import (
    FOLDER_UNUSABLE,
    INSECURE_TRANSPORT,
    SERVER_REFUSED,
    TLS_NOT_SPOKEN,
    TLS_WANTED,
)

CALLERS = {
    "InvalidArgument",
    "NotFound",
    "AlreadyExists",
    "FailedPrecondition",
    "Unauthenticated",
    "PermissionDenied",
}
SERVERS = {
    "Unavailable",
    "DeadlineExceeded",
    "Cancelled",
    "Unimplemented",
    "Internal",
    "LocalServerError",
    "ResourceExhausted",
}


@pytest.fixture
def icecore_(capsys: pytest.CaptureFixture[str]) -> Icecore:
    return Icecore(capsys)


class _Version:
    def __init__(self, state: VersionState, reason: str) -> None:
        self.state, self.failure_reason = state, reason


def _training_failed(state: VersionState, reason: Reason) -> TrainingFailed:
    error = TrainingFailed("it ended", reason=reason)
    error.version = _Version(state, reason)  # type: ignore[assignment]
    return error


def test_every_error_of_the_client_has_a_status() -> None:
    found = {
        name: value
        for name in icecore.client.__all__
        if isinstance(value := getattr(icecore.client, name), type)
        and issubclass(value, IcecoreError)
        and value not in (IcecoreError, TrainingFailed)
    }
    assert set(found) == CALLERS | SERVERS
    for name, kind in found.items():
        assert status_of(kind("x")) == (2 if name in CALLERS else 3), name


def test_some_statuses_hang_on_more_than_the_class() -> None:
    large = ResourceExhausted("x", reason=Reason.MESSAGE_TOO_LARGE)
    assert status_of(large) == 2
    assert status_of(_training_failed(VersionState.FAILED, Reason.TRAINING_FAILED)) == 3
    assert status_of(_training_failed(VersionState.FAILED, Reason.CLASS_TOO_SMALL)) == 2
    assert status_of(_training_failed(VersionState.CANCELLED, Reason.TRAINING_FAILED)) == 2
    assert status_of(FileNotFoundError(2, "No such file", "x")) == 2
    assert status_of(ZeroDivisionError("x")) == 3


def test_sentences_are_one_line_without_a_stop() -> None:
    assert sentence_of(Mistake("two\nlines.")) == "two lines"
    assert sentence_of(click.UsageError("Missing argument 'NAME'.")) == "missing argument 'NAME'"
    assert sentence_of(FileNotFoundError(2, "No such file", "a\nb")) == r"'a\nb': no such file"
    assert sentence_of(ZeroDivisionError("x")).startswith(
        "a mistake of icecore's own: ZeroDivisionError: x (ICECORE_DEBUG=1"
    )
    error = FailedPrecondition("a key is required", reason=Reason.KEY_REQUIRED)
    assert sentence_of(error).startswith("a key is required (--key or ICECORE_KEY; ")
    clients = {FOLDER_UNUSABLE, INSECURE_TRANSPORT, TLS_NOT_SPOKEN, TLS_WANTED}
    assert set(HINTS) <= {*Reason, *clients}


def test_wrong_words_are_the_callers_mistake(icecore_: Icecore) -> None:
    assert icecore_.refused("layer") == (
        "there is no command 'layer': did you mean 'layers'? (see 'icecore --help')"
    )
    assert icecore_.refused("xyzzy").startswith("there is no command 'xyzzy': it is one of demo, ")
    assert icecore_.refused("probes", "lits") == (
        "there is no command 'lits': did you mean 'list'? (see 'icecore probes --help')"
    )
    assert "'x' is not a valid whole number" in icecore_.refused("predict", "p", "--version", "x")
    assert "'x' is not a valid number" in icecore_.refused("backbones", "--timeout", "x")
    assert icecore_.refused("layers", "--nope") == (
        "no such option '--nope' (see 'icecore layers --help')"
    )
    assert "NAME" in icecore_.refused("train-probe")
    assert "'--kind'" in icecore_.refused("train-probe", "x", ".", "--kind", "tree")
    assert "--data" in icecore_.refused("backbones", "--server", "x:1", "--data", ".")
    assert icecore_.refused("--server", "x:1", "serve").startswith("--server names a server")
    assert "--collection" in icecore_.refused("train-probe", "x")
    assert "--collection" in icecore_.refused("train-probe", "x", ".", "--collection", "c")
    assert "--id" in icecore_.refused("search", "x")
    said = icecore_.refused("embed", ".", "--out", "x.csv")
    assert ".npz, .parquet, .arrow or .feather" in said
    assert "nowhere" in icecore_.refused("embed", ".", "--out", "nowhere/x.npz")


def test_a_server_that_is_not_there_is_the_servers_side(icecore_: Icecore) -> None:
    for place in (
        ("--server", "127.0.0.1:1", "backbones"),
        ("backbones", "--server", "127.0.0.1:1"),
    ):
        said = icecore_.refused(*place, "--timeout", "0.2", status=3)
        assert "127.0.0.1:1" in said


def _leaves(command: click.Command, name: str = "icecore") -> list[tuple[str, click.Command]]:
    context = click.Context(command)
    if not isinstance(command, Group):
        return [(name, command)]
    found: list[tuple[str, click.Command]] = [(name, command)]
    for one in command.list_commands(context):
        child = command.get_command(context, one)
        assert child is not None
        found += _leaves(child, f"{name} {one}")
    return found


@pytest.mark.parametrize("words", [(), ("probes",)])
def test_a_group_alone_shows_its_help_and_that_a_command_is_missing(
    icecore_: Icecore, words: tuple[str, ...]
) -> None:
    said = icecore_(*words)
    assert (said.status, said.out) == (2, "")
    assert said.err == icecore_.done(*words, "--help").out


def test_a_key_is_not_sent_in_the_open_and_the_flags_are_named(icecore_: Icecore) -> None:
    said = icecore_.refused("backbones", "--server", "192.0.2.1:5", "--key", "secret")
    assert said.startswith("a key would travel unencrypted to '192.0.2.1:5'")
    assert said.endswith("(--ca, --tls or --insecure-transport)")
    assert "secret" not in said


def test_a_data_folder_that_cannot_be_is_the_callers_mistake(
    icecore_: Icecore, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    said = icecore_.refused("backbones", "--data", tmp_path / "file" / "x")
    assert said.endswith("cannot be made: not a directory (--data names another)")
    refusal = LocalServerError("ended with 2", reason=SERVER_REFUSED)
    assert status_of(refusal) == 2
    assert status_of(LocalServerError("ended with 3")) == 3


def test_a_data_folder_that_is_new_is_told_of(
    icecore_: Icecore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    said = icecore_("collections", "list", "--data", tmp_path / "mistyped")
    assert said.err.startswith(f"data folder '{tmp_path}/mistyped' is new: its server is started")


def test_every_command_has_help_with_an_example(icecore_: Icecore) -> None:
    commands = _leaves(cli)
    assert len(commands) >= len(COMMANDS) + 14
    for name, _ in commands:
        said = icecore_.done(*name.split()[1:], "--help")
        assert said.out.startswith("Usage: icecore")
        _, _, examples = said.out.partition("Examples:")
        assert name in examples, f"{name} --help shows no example"
        # All commands but these may name a server, also after their name.
        is_local = name.split()[-1] in ("serve", "completion", "export")
        assert ("Which server:" in said.out) != is_local


def test_the_first_sentence_of_each_help_fits_the_list(icecore_: Icecore) -> None:
    for name, command in _leaves(cli):
        if isinstance(command, Group):
            assert (
                "..."
                not in icecore_.done(*name.split()[1:], "--help")
                .out.split("Examples")[0]
                .split("Commands:")[1]
            )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_names_the_command(icecore_: Icecore, shell: str) -> None:
    said = icecore_.done("completion", shell)
    assert "_ICECORE_COMPLETE" in said.out
    assert "icecore" in said.out


def test_words_are_completed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ICECORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("COMP_WORDS", "icecore pr")
    said = Icecore(capsys).done()
    assert said.lines == ["plain,predict", "plain,probes"]
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("COMP_WORDS", "icecore probes pro")
    assert Icecore(capsys).done().lines == ["plain,promote"]


def test_version_is_the_distributions(icecore_: Icecore) -> None:
    assert icecore_.done("--version").out.startswith("icecore 0.")


def test_without_its_packages_the_command_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['click'] = None; "
        "from icecore.cli.__main__ import main; sys.exit(main(['--help']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "icecore: the command line needs 'click': pip install 'icecore[cli]'\n"


def test_a_command_imports_nothing_of_the_server() -> None:
    code = (
        "import sys; from icecore.cli.__main__ import main; main(['layers', '--help']); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('onnxruntime', 'sklearn', 'faiss', 'torch', 'matplotlib') or 'icecore.server' in m))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_ctrl_c_while_things_are_imported_prints_no_traceback() -> None:
    """The signal is sent by whoever looks for click, so that there is nothing to wait for."""
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from icecore.cli.__main__ import main\n"
        "main(['layers', '--help'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_looking_for_words_imports_nothing_that_draws() -> None:
    """A TAB has to be answered before one wonders; matplotlib alone takes half a second."""
    code = (
        "import os, sys; os.environ |= {'_ICECORE_COMPLETE': 'bash_complete', "
        "'COMP_WORDS': 'icecore ', 'COMP_CWORD': '1'}; "
        "from icecore.cli.__main__ import main; main([]); "
        "print([m for m in ('matplotlib', 'sklearn') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "plain,demo" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "[]"
