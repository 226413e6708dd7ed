"""`icecore serve` has the server's flags, and passes them on as they were given."""

import re

import pytest

from icecore.cli.server_flags import SWITCHES, VALUES, as_arguments
from icecore.server.settings import HelpWanted, read_settings

NOT_FOR_PEOPLE = {"--default-graph"}
"""Of the container image's own start."""


def test_each_flag_of_the_server_is_there() -> None:
    with pytest.raises(HelpWanted) as text:
        read_settings(["--help"], {})
    of_server = set(re.findall(r"^  (--[a-z-]+)", str(text.value), re.MULTILINE))
    assert {flag for flag, *_ in (*VALUES, *SWITCHES)} | NOT_FOR_PEOPLE | {"--data"} == of_server


def test_what_was_given_is_passed_on_and_nothing_else() -> None:
    flags: dict[str, object] = {
        flag.removeprefix("--").replace("-", "_"): None for flag, *_ in (*VALUES, *SWITCHES)
    }
    assert as_arguments(flags) == []
    flags.update(threads="0", require_keys=True, listen="127.0.0.1:0")
    assert as_arguments(flags) == ["--listen", "127.0.0.1:0", "--threads", "0", "--require-keys"]
