"""What a server is told when it starts: flags, and environment variables for each.

Read once and passed on in parts; nothing reads settings in the middle of work.
"""

import argparse
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import platformdirs

from icecore.server.cores import usable_cores

DEFAULT_MESSAGE_MB: Final = 64
"""gRPC's own 4 MB break a batch of eight tensors."""

METRICS_ADDRESS: Final = "127.0.0.1:9464"
"""Of the page for Prometheus, where nothing else is said; the port that its exporters share."""

MAX_MESSAGE_MB: Final = 1024
"""protobuf ends at 2 GiB, and gRPC is told twice this (see `rpc.reading`)."""

MESSAGES_IN_FLIGHT: Final = 8
"""Of the largest that is taken: as many as one caller may have four of beside others."""

MAX_INFLIGHT_MB: Final = 1 << 20


DEFAULT_QUEUE_MS: Final = 1000
"""A person waits so long without losing the thread; a program that may wait comes again."""

MAX_QUEUE_MS: Final = 3_600_000

DEFAULT_CACHE_MB: Final = 256
"""Codes of 50,000 images at the default backbone's last layer."""

MAX_CACHE_MB: Final = 1 << 20

DEVICES: Final = ("auto", "cpu", "cuda", "tensorrt")
"""Where networks may run; "auto" is a GPU where ONNX Runtime can use one, else the processor."""


class SettingsInvalid(ValueError):
    """A flag that cannot be; the sentence says which and why."""


class HelpWanted(Exception):
    """`--help` was given; the text is the message."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve the folder `data`.

    Its socket is always served; `listen` ("HOST:PORT", port 0 for any free one)
    adds TCP. With `until_idle_s` the server ends that long after its last call.
    `metrics` is "off" or where Prometheus reads; None: METRICS_ADDRESS, or any free port
    where that is taken, and off unless there is `listen`. `traces` is "off", a
    collector's URL, or "auto": what the OTEL_... variables say.
    """

    data: Path
    listen: str | None = None
    require_keys: bool = False
    insecure_transport: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    until_idle_s: float | None = None
    threads: int = 0
    device: str = "auto"
    training_workers: int = 1
    max_message_mb: int = DEFAULT_MESSAGE_MB
    max_inflight_mb: int = 0
    default_graph: Path | None = None
    shared_memory: bool = False
    grace_s: float = 20.0
    metrics: str | None = None
    metrics_tenants: bool = False
    traces: str = "off"
    cache_mb: int = DEFAULT_CACHE_MB
    cache_disk_mb: int = 0
    max_queue_ms: int = DEFAULT_QUEUE_MS

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsInvalid("--tls-cert and --tls-key go together")
        if self.listen is not None:
            host, _ = host_and_port(self.listen)
            if not is_loopback(host) and self.tls_cert is None and not self.insecure_transport:
                raise SettingsInvalid(
                    f"{self.listen!r} can be reached from other machines: give --tls-cert and "
                    "--tls-key, or --insecure-transport if something in front does TLS"
                )
        elif self.tls_cert is not None:
            raise SettingsInvalid("--tls-cert is of use only with --listen HOST:PORT")
        if self.until_idle_s is not None and not 0 < self.until_idle_s < 1e7:
            raise SettingsInvalid(f"--until-idle is {self.until_idle_s!r}, but must be above 0")
        if self.metrics not in (None, "off"):
            host_and_port(self.metrics, flag="--metrics")
        if self.traces not in ("off", "auto"):
            _check_traces(self.traces)
        if not 0 <= self.threads <= 1024:
            raise SettingsInvalid(f"--threads is {self.threads!r}, but must be 0 (all) to 1024")
        if self.device not in DEVICES:
            raise SettingsInvalid(
                f"--device is {self.device!r}, but must be one of {', '.join(DEVICES)}"
            )
        if not 1 <= self.training_workers <= 64:
            raise SettingsInvalid(
                f"--training-workers is {self.training_workers!r}, but must be 1 to 64"
            )
        for flag, mb in (("--cache-mb", self.cache_mb), ("--cache-disk-mb", self.cache_disk_mb)):
            if not 0 <= mb <= MAX_CACHE_MB:
                raise SettingsInvalid(f"{flag} is {mb!r}, but must be 0 (none) to {MAX_CACHE_MB}")
        if not 1 <= self.max_message_mb <= MAX_MESSAGE_MB:
            raise SettingsInvalid(
                f"--max-message-mb is {self.max_message_mb!r}, but must be 1 to {MAX_MESSAGE_MB}"
            )
        least = self.max_message_mb
        if self.max_inflight_mb and not least <= self.max_inflight_mb <= MAX_INFLIGHT_MB:
            raise SettingsInvalid(
                f"--max-inflight-mb is {self.max_inflight_mb!r}, but must be 0 "
                f"({MESSAGES_IN_FLIGHT} of the largest messages) or {least} (one of them) to "
                f"{MAX_INFLIGHT_MB}"
            )
        if not 1 <= self.max_queue_ms <= MAX_QUEUE_MS:
            raise SettingsInvalid(
                f"--max-queue-ms is {self.max_queue_ms!r}, but must be 1 to {MAX_QUEUE_MS}"
            )
        if self.threads == 0:
            object.__setattr__(self, "threads", usable_cores())

    @property
    def listens_to_others(self) -> bool:
        """Whether TCP can be reached from other machines."""
        return self.listen is not None and not is_loopback(host_and_port(self.listen)[0])

    @property
    def metrics_address(self) -> str | None:
        """Where Prometheus may read; None: nowhere.

        A server that a command starts for itself shows nothing, since several run on a machine.
        """
        if self.metrics is None:
            return METRICS_ADDRESS if self.listen is not None else None
        return None if self.metrics == "off" else self.metrics

    @property
    def max_message_bytes(self) -> int:
        return self.max_message_mb << 20

    @property
    def max_inflight_bytes(self) -> int:
        return (self.max_inflight_mb or MESSAGES_IN_FLIGHT * self.max_message_mb) << 20


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of a command line; flags win over ICECORE_... variables.

    Raises:
        SettingsInvalid: an unknown flag, or a value that cannot be.
        HelpWanted: `--help`.
    """
    given = os.environ if environment is None else environment
    options = _parser(given).parse_args(list(arguments))
    return Settings(**vars(options))


def host_and_port(address: str, *, flag: str = "--listen") -> tuple[str, int]:
    """Return the parts of "HOST:PORT" or "[IPV6]:PORT".

    Raises:
        SettingsInvalid: it is neither.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise SettingsInvalid(f"{flag} is {address!r}: write an IPv6 address as '[::1]:8471'")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsInvalid(
            f"{flag} is {address!r}, but must be HOST:PORT such as '127.0.0.1:8471', "
            "with a port from 0 (any that is free) to 65535"
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address; other names count as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_traces(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise SettingsInvalid(
            "--traces must be 'off', 'auto' or the URL of a collector such as "
            "'http://localhost:4317'; what it asks for goes into OTEL_EXPORTER_OTLP_HEADERS"
        )
    try:
        find_spec("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            f"--traces needs {error.name!r}: pip install 'icecore[traces]'"
        ) from error


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise SettingsInvalid(message)

    def print_help(self, file: object = None) -> NoReturn:  # noqa: ARG002 - argparse's
        raise HelpWanted(self.format_help())


def _parser(environment: Mapping[str, str]) -> _Parser:
    parser = _Parser(
        prog="python -m icecore.server",
        description="Serve one data folder. Each flag may also come as a variable, "
        "ICECORE_LISTEN for --listen and so on.",
        allow_abbrev=False,
    )

    def flag(name: str, kind: type, shown: str, text: str, default: object = None) -> None:
        value = environment.get(_variable(name), "") or default
        parser.add_argument(name, type=kind, metavar=shown, help=text, default=value)

    def switch(name: str, text: str) -> None:
        word = environment.get(_variable(name), "")
        if word not in ("", "0", "1"):
            raise SettingsInvalid(f"{_variable(name)} is {word!r}, but must be 0 or 1")
        parser.add_argument(name, action="store_true", help=text, default=word == "1")

    flag("--data", Path, "DIR", "the data folder", platformdirs.user_data_path("icecore"))
    flag("--listen", str, "HOST:PORT", "serve TCP too (port 0: any free one)")
    switch("--require-keys", "no key is no tenant, not even on this machine")
    switch("--insecure-transport", "listen without TLS, since something in front does it")
    flag("--tls-cert", Path, "FILE", "certificate chain, PEM")
    flag("--tls-key", Path, "FILE", "private key, PEM")
    flag("--threads", int, "N", "for decoding and the network; 0: one a core", 0)
    flag("--device", str, "NAME", f"where networks run: {', '.join(DEVICES)}", "auto")
    flag("--training-workers", int, "N", "training jobs at once", 1)
    flag("--default-graph", Path, "FILE", "the default backbone's graph, built beforehand")
    flag("--max-message-mb", int, "MB", "largest message taken", DEFAULT_MESSAGE_MB)
    flag(
        "--max-inflight-mb",
        int,
        "MB",
        "messages and answers in hand; 0: eight of the largest messages",
        0,
    )
    flag("--max-queue-ms", int, "MS", "longest that a call may wait", DEFAULT_QUEUE_MS)
    flag("--cache-mb", int, "MB", "codes kept in memory; 0: none", DEFAULT_CACHE_MB)
    flag("--cache-disk-mb", int, "MB", "codes kept in the data folder beyond a restart", 0)
    flag("--metrics", str, "HOST:PORT", f"where Prometheus reads, or off ({METRICS_ADDRESS})")
    switch("--metrics-tenants", "tell tenants apart in metrics")
    flag("--traces", str, "URL", "OpenTelemetry's collector, off, or auto: as OTEL_... say", "auto")
    switch("--shared-memory", "take KServe tensors in this machine's shared memory")
    seconds = parser.add_argument(
        "--until-idle", type=float, metavar="SECONDS", help="end this long after the last call"
    )
    seconds.dest = "until_idle_s"
    return parser


def _variable(flag: str) -> str:
    return "ICECORE_" + flag.removeprefix("--").upper().replace("-", "_")
