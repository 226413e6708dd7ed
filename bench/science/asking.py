"""What the programs of this folder are asked alike, and the part of a core they then read."""

import argparse
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from science.core_files import CACHE, Core, CoreMissing, FloatArray, LayerFacts
from science.cores import SETS, THREE


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some layers of a core, by depth, and some of its images, (rows,) indices."""

    core: Core
    layers: tuple[LayerFacts, ...]
    rows: np.ndarray

    @property
    def labels(self) -> list[str]:
        return [self.core.labels[row] for row in self.rows]

    @property
    def groups(self) -> list[str]:
        return [self.core.sha[row] for row in self.rows]

    @property
    def positions(self) -> dict[str, float]:
        """Depths of the layers as shares of the network's, by key."""
        deepest = self.core.layers[-1].depth
        return {layer.key: layer.depth / deepest for layer in self.layers}

    def codes(self, key: str) -> FloatArray:
        """Return the codes of an array of the core at these images."""
        codes: FloatArray = self.core.codes[key][self.rows]
        return codes


def parser(
    doc: str, *, networks: Sequence[str] = THREE, sets: Sequence[str] = SETS
) -> argparse.ArgumentParser:
    """Return a parser of what all are asked; `networks` and `sets` where nothing is said."""
    asked = argparse.ArgumentParser(description=doc.splitlines()[0])
    asked.add_argument("--cache", type=Path, default=CACHE, help="where cores.py left them")
    asked.add_argument("--network", action="append", help=f"default: {', '.join(networks)}")
    asked.add_argument("--set", action="append", choices=SETS, help=f"default: {', '.join(sets)}")
    asked.add_argument("--layers", type=int, help="so many, evenly spread; default: all")
    asked.add_argument("--images", type=int, help="so many at most, evenly of the classes")
    asked.add_argument("--plots", type=Path, metavar="DIR", help="write a PNG a set there")
    asked.set_defaults(networks=tuple(networks), sets=tuple(sets))
    return asked


def parts(asked: argparse.Namespace, set_name: str) -> Iterator[Part]:
    """Yield what was asked for of a set, network by network; say where there is no core."""
    for name in asked.network or asked.networks:
        try:
            core = Core.read(asked.cache, name, set_name)
        except CoreMissing as missing:
            print(missing)
            continue
        rows = evenly(core.labels, asked.images or len(core.labels))
        yield Part(core, spread(core.layers, asked.layers or len(core.layers)), rows)


def spread(layers: Sequence[LayerFacts], n: int) -> tuple[LayerFacts, ...]:
    """Return `n` layers at even distances, the last among them."""
    depths = len(layers)
    return tuple(layers[i - 1] for i in sorted({depths - depths * i // n for i in range(n)} - {0}))


def evenly(labels: Sequence[str], n: int) -> np.ndarray:
    """Return the rows, ascending, of at most `n` images: the first of each class in turn."""
    names = np.array(labels)
    order = np.empty(len(names), np.int64)
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        order[members] = np.arange(len(members))
    return np.sort(np.argsort(order, kind="stable")[:n])


def headline() -> str:
    """Return when and where a table was made."""
    return f"{date.today()}, {platform.machine()}"
