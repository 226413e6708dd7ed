"""Runs `icecore` for tests: in this process, or as a child where signals matter."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from icecore.cli.__main__ import main


@dataclass(frozen=True)
class Said:
    """What a command line said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Icecore:
    """The command line, talking to one server; `icecore("layers", "--json")`."""

    def __init__(self, capture: pytest.CaptureFixture[str], *where: str) -> None:
        self._capture = capture
        self._where = where

    def __call__(self, *arguments: object) -> Said:
        self._capture.readouterr()
        status = main([*self._where, *map(str, arguments)])
        captured = self._capture.readouterr()
        return Said(status, captured.out, captured.err)

    def done(self, *arguments: object) -> Said:
        """Run what must succeed."""
        said = self(*arguments)
        assert said.status == 0, said.err
        return said

    def refused(self, *arguments: object, status: int = 2) -> str:
        """Run what must fail, and return its one line."""
        said = self(*arguments)
        assert said.status == status, said
        last = said.err.splitlines()[-1]
        assert last.startswith("icecore: ")
        assert "Traceback" not in said.err
        return last.removeprefix("icecore: ")


def child(
    *arguments: object, environment: Mapping[str, str] | None = None, **streams: Any
) -> "subprocess.Popen[str]":
    """Start `python -m icecore.cli` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "icecore.cli", *map(str, arguments)],
        text=True,
        env={**os.environ, **(environment or {})},
        **streams,
    )


def photo(path: Path, seed: int, *, colour: tuple[int, int, int] = (0, 0, 0)) -> Path:
    """Write a small picture, another one for another seed; its folder is made."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 60, size=(12, 12, 3)) + np.array(colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


def two_classes(folder: Path, *, each: int = 8) -> Path:
    """Fill a folder with `each` reddish and bluish pictures, easy to tell apart."""
    for seed in range(each):
        photo(folder / "red" / f"{seed}.png", seed, colour=(180, 0, 0))
        photo(folder / "blue" / f"{seed}.png", 1000 + seed, colour=(0, 0, 180))
    return folder
