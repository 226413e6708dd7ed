"""The flags of `icecore serve`, which are the server's own; it checks what they say."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

VALUES: Final = (
    ("--listen", "HOST:PORT", "Serve TCP too; port 0 is any free one."),
    ("--tls-cert", "FILE", "Certificate chain, PEM."),
    ("--tls-key", "FILE", "Private key, PEM."),
    ("--threads", "N", "For decoding and the network; 0: one a core."),
    ("--device", "NAME", "Where networks run: auto, cpu, cuda or tensorrt."),
    ("--training-workers", "N", "Training jobs at once."),
    ("--max-message-mb", "MB", "Largest message taken."),
    ("--max-inflight-mb", "MB", "Messages and answers in hand; 0: eight of the largest messages."),
    ("--max-queue-ms", "MS", "Longest that a call may wait before it is turned away."),
    ("--cache-mb", "MB", "Codes kept in memory for images that come again; 0: none."),
    ("--cache-disk-mb", "MB", "Codes kept beyond a restart; 0: none."),
    ("--metrics", "HOST:PORT", "Where Prometheus reads; off: nowhere."),
    ("--traces", "URL", "OpenTelemetry's collector; off, or auto: as OTEL_... say."),
    ("--until-idle", "SECONDS", "End so long after the last call."),
)
"""Flag, what stands for its value, and what it is for."""

SWITCHES: Final = (
    ("--require-keys", "No key is no tenant, not even on this machine."),
    ("--insecure-transport", "Listen without TLS: something in front does it."),
    ("--metrics-tenants", "Tell tenants apart in metrics."),
    ("--shared-memory", "Take tensors in shared memory (KServe v2), on this machine only."),
)


def server_flags(command: F) -> F:
    """Give the command all of them, in this order in its help."""
    for flag, text in reversed(SWITCHES):
        command = click.option(flag, is_flag=True, help=text)(command)
    for flag, shown, text in reversed(VALUES):
        command = click.option(flag, metavar=shown, help=text)(command)
    return command


def as_arguments(flags: Mapping[str, object]) -> list[str]:
    """Return what was given of them, as arguments of the server."""
    arguments: list[str] = []
    for flag, _, _ in VALUES:
        if (value := flags[_name(flag)]) is not None:
            arguments += [flag, str(value)]
    return arguments + [flag for flag, _ in SWITCHES if flags[_name(flag)]]


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
