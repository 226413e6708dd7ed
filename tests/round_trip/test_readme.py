"""The README's shell and Python do what they say, on images drawn in place of the demo's."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_runs import photo
from icecore.client import AsyncClient, Client

README = Path(__file__).parents[2] / "README.md"

CLASSES = {"3": (180, 0, 0), "8": (0, 0, 180), "5": (0, 180, 0)}
EACH = 4
"""Images a class; the README's searches ask for three."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as `make demo` leaves it; the server that is started in it ends with the tests."""
    place = tmp_path_factory.mktemp("readme")
    for number, (label, colour) in enumerate(CLASSES.items()):
        for seed in range(EACH):
            path = place / "demo-out" / "images" / label / f"{seed}.png"
            photo(path, 100 * number + seed, colour=colour)
    yield place
    server = place / "data" / "server.json"
    if server.exists():
        os.kill(int(json.loads(server.read_text())["pid"]), signal.SIGTERM)


def run(command: list[str], place: Path) -> str:
    """Run it in that folder, with its own data folder, and return what it printed."""
    environment = {name: text for name, text in os.environ.items() if "ICECORE" not in name}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"PATH": path, "ICECORE_DATA": str(place / "data")}
    ended = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_shell_and_then_the_python_do_what_they_say(place: Path) -> None:
    """One test, as the Python predicts with the probe that the shell has trained."""
    [*shell], [python] = blocks("sh"), blocks("python")
    said = run(["sh", "-eu", "-c", "\n".join(shell)], place)
    assert "accuracy on images that chose neither layer nor C" in said
    assert f"demo-out/images/3/{EACH - 1}.png  3" in said, "a prediction a file"
    assert "33  head" in said, "the layers down to the last"
    assert "<- chosen" in said
    assert "int8 against float32" in said
    for left in ("codes.npz", "layers.png"):
        assert (place / "demo-out" / left).is_file()

    printed = run([sys.executable, "-W", "error", "-c", python], place).splitlines()
    assert printed[0].endswith(f"/33:head/avg ({EACH}, 1280)")
    assert printed[1].startswith("3 0.")
    assert "'8'" not in printed[2]
    assert len(printed) == 3


@pytest.mark.parametrize("face", [Client, AsyncClient])
def test_the_examples_of_the_client_itself_run(place: Path, face: type[object]) -> None:
    """Those in the docstring of each twin; theirs is a photo beside the script."""
    example = textwrap.dedent("\n".join(re.findall(r"^ {8,}\S.*", str(face.__doc__), re.MULTILINE)))
    example = example.replace("ant.jpg", "demo-out/images/3/0.png")
    assert "with" in example
    script = "import asyncio\nfrom pathlib import Path\nfrom icecore.client import *\n"
    script += f"async def main():\n{textwrap.indent(example, '  ')}\n  print(codes.values.shape)\n"
    printed = run([sys.executable, "-W", "error", "-c", f"{script}asyncio.run(main())"], place)
    assert printed == "(1, 1280)\n"


def test_every_command_that_the_readme_names_is_there() -> None:
    from icecore.cli.app import COMMANDS

    named = set(re.findall(r"icecore ([a-z][a-z-]+)", README.read_text()))
    assert named - {"runs", "measures", "is"} <= set(COMMANDS)
