"""Which of a network's classes a label means, by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from icecore.server.errors import InvalidArgument

_WORDNET = re.compile(r"n\d{8}\s+(?=\S)")
_SIBILANTS = ("s", "x", "z", "ch", "sh")


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """`members` (n, k) bool says which of k classes the label of each of n images means."""

    members: npt.NDArray[np.bool_]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,): whether a label means a class at all."""
        known: npt.NDArray[np.bool_] = np.any(self.members, axis=1)
        return known


def match(labels: Sequence[str], class_names: Sequence[str], n_classes: int) -> Matches:
    """Return which classes the labels mean.

    A class name may hold synonyms behind commas ("tench, Tinca tinca"). Case, "_", "-",
    a WordNet id in front, and singular or plural do not matter; two classes of one
    name ("crane") are both meant. Where the network has one class more than there
    are names, its first is the background, as TensorFlow's networks have it.

    Raises:
        InvalidArgument: another number of names than classes.
    """
    if len(class_names) not in {n_classes, n_classes - 1}:
        raise InvalidArgument(
            f"there are {len(class_names):,} class names, but the network has {n_classes:,} classes"
        )
    offset = n_classes - len(class_names)
    exact: dict[str, set[int]] = {}
    loose: dict[str, set[int]] = {}
    for index, name in enumerate(class_names, offset):
        for synonym in _synonyms(name):
            exact.setdefault(synonym, set()).add(index)
            loose.setdefault(_singular(synonym), set()).add(index)
    members = np.zeros((len(labels), n_classes), np.bool_)
    for row, label in enumerate(labels):
        for synonym in _synonyms(label):
            meant = exact.get(synonym) or loose.get(_singular(synonym)) or set()
            members[row, sorted(meant)] = True
    return Matches(members)


def _synonyms(name: str) -> list[str]:
    plain = _WORDNET.sub("", re.sub(r"[\s_\-]+", " ", name.casefold()).strip())
    return [part.strip() for part in plain.split(",") if part.strip()]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_SIBILANTS):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1]
    return word
