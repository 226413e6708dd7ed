"""Which server a command talks to: the options every command has, before or after its name."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from icecore.cli.mistakes import Mistake
from icecore.client import Client, Waiting, data_folder, read_admin_key

P = ParamSpec("P")
R = TypeVar("R")

_META = "icecore.connection"


@dataclass(frozen=True, slots=True)
class Connection:
    """What the options say; None where they say nothing and the environment may."""

    server: str | None = None
    key: str | None = None
    data: Path | None = None
    ca: Path | None = None
    tls: bool = False
    insecure_transport: bool = False
    timeout_s: float | None = None

    @classmethod
    def given(cls) -> "Connection":
        """Return what the command line being run says."""
        return cls.of(click.get_current_context())

    @classmethod
    def of(cls, context: click.Context) -> "Connection":
        """Return what the command line of this context says."""
        return cls(**context.meta.get(_META, {}))

    @property
    def flags(self) -> tuple[str, ...]:
        """What to write behind a command for the same server; the key is nobody's to print."""
        named = (("--server", self.server), ("--data", self.data), ("--ca", self.ca))
        words = [word for flag, value in named if value is not None for word in (flag, str(value))]
        words += ["--tls"] if self.tls else []
        words += ["--insecure-transport"] if self.insecure_transport else []
        return tuple(words)

    def client(self, *, key: str | None = None) -> Client:
        """Return a client of this server; it connects at its first call."""
        if self.server is not None and self.data is not None:
            raise Mistake("--server and --data exclude each other: a command has one server")
        waiting = {} if self.timeout_s is None else {"timeout_s": self.timeout_s}
        return Client(
            self.server,
            data=self.data,
            key=key or self.key,
            ca=self.ca,
            tls=self.tls,
            insecure_transport=self.insecure_transport,
            on_wait=_told_of_wait,
            **waiting,
        )

    @contextmanager
    def administrator(self) -> Iterator[Client]:
        """Give a client with the key given, or else with the data folder's `admin.key`.

        That file's key goes to the folder's own server and to no other.
        """
        with self.client() as client:
            if self.has_key or self.is_elsewhere:
                yield client
                return
            client.connect()  # the first start writes the key
            key = read_admin_key(self.data)
            if key is None:
                yield client
                return
            with self.client(key=key) as administrator:
                yield administrator

    @property
    def has_key(self) -> bool:
        return bool(self.key_from)

    @property
    def key_from(self) -> str:
        """Where the key was read; "" where none was given."""
        if self.key:
            return "--key"
        return "ICECORE_KEY" if _variable("ICECORE_KEY") else ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether a server is named, so that none is the data folder's."""
        if self.server is not None:
            return True
        return self.data is None and _variable("ICECORE_SERVER")


def _told_of_wait(told: Waiting) -> None:
    from icecore.cli.waits import waits  # with what draws, which few need

    waits(told)


def _variable(name: str) -> bool:
    return bool(os.environ.get(name))


class Seconds(click.FloatRange):
    """Some time, called a number in errors."""

    name = "number"


class ServerOption(click.Option):
    """An option about the server; `--help` shows these apart."""


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value is not None and value is not False and parameter.name is not None:
        context.meta.setdefault(_META, {})[parameter.name] = value
    return value


def server_options() -> list[click.Option]:
    """Return fresh options; those of a command win over those before its name."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return ServerOption(names, callback=_remember, expose_value=False, **attributes)

    return [
        option(
            "--server",
            metavar="ADDRESS",
            help="HOST:PORT or unix:/PATH (ICECORE_SERVER); without it, the data folder's server.",
        ),
        option("--key", metavar="KEY", help="Your key; ICECORE_KEY keeps it out of `ps`."),
        option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            help="Data folder (ICECORE_DATA); its server is started when none runs. Unless named: "
            f"{data_folder()}.",
        ),
        option(
            "--ca",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="ICECORE_CA",
            help="PEM file of the authority that signed the server's certificate (ICECORE_CA).",
        ),
        option("--tls", is_flag=True, help="TLS with the usual authorities."),
        option(
            "--insecure-transport",
            is_flag=True,
            help="Send the key unencrypted to another machine all the same.",
        ),
        option(
            "--timeout",
            "timeout_s",
            type=Seconds(min=0.0, min_open=True),
            metavar="SECONDS",
            help="Longest wait for one answer (60).",
        ),
    ]


def connected(function: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Give a command the connection that the options say, as its first argument."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(Connection.given(), *args, **kwargs)

    return command
