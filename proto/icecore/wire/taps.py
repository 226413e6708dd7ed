"""The identity of a tap: which number of which network a code is.

One type for both ends. It does not run anything and knows no protobuf.
"""

import json
import re
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

GEM_P = 3.0
"""Exponent of GEM pooling unless another is given (Radenovic et al., 2018)."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Activation(StrEnum):
    """What is read at a layer."""

    AS_TRAINED = "as-trained"
    RELU = "relu"
    NONE = "none"


class PoolingKind(StrEnum):
    """How a (c, h, w) map becomes a vector."""

    AVG = "avg"
    MAX = "max"
    GEM = "gem"
    GRID = "grid"
    NONE = "none"
    CLS = "cls"
    """The class token, in front of a transformer's map."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """A kind of pooling with its parameter; `gem_p` is 0 for all but GEM."""

    kind: PoolingKind = PoolingKind.AVG
    gem_p: float = 0.0

    def __post_init__(self) -> None:
        if self.kind is PoolingKind.GEM:
            if not 0.0 < self.gem_p <= 64.0:
                raise ValueError(f"gem_p is {self.gem_p!r}, but must be in (0, 64]")
            # What the wire's float32 can hold: else 2.7 here is another tap than 2.7 there.
            (rounded,) = struct.unpack("<f", struct.pack("<f", self.gem_p))
            object.__setattr__(self, "gem_p", rounded)
        elif self.gem_p != 0.0:
            raise ValueError(f"gem_p is {self.gem_p!r}, but pooling {self.kind.value!r} has none")

    def __str__(self) -> str:
        return f"gem{self.gem_p:g}" if self.kind is PoolingKind.GEM else self.kind.value


AVG = Pooling()


@dataclass(frozen=True, slots=True, eq=False)
class TapId:
    """Backbone, layer, activation and pooling; equal only if all of these are.

    `backbone` and `depth` (0: none) are labels for people: they are printed,
    never compared, so a renamed backbone keeps its codes.
    """

    digest: str
    layer: str
    activation: Activation = Activation.AS_TRAINED
    pooling: Pooling = AVG
    backbone: str = ""
    depth: int = 0
    key: tuple[str, str, str, str, float] = field(init=False, repr=False)
    """What is compared."""

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"digest {self.digest!r} is not 64 lower-case hexadecimal digits")
        if not self.layer:
            raise ValueError("a tap needs the name of its layer")
        pooling = self.pooling
        key = (
            self.digest,
            self.layer,
            self.activation.value,
            pooling.kind.value,
            pooling.gem_p,
        )
        object.__setattr__(self, "key", key)  # made once: taps are compared all the time

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TapId) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """Return the label, such as `efficientnet-lite0@3f9a1c2e/11:blocks.5.expand/avg`."""
        place = f"{self.depth}:{self.layer}" if self.depth else self.layer
        read = "" if self.activation is Activation.AS_TRAINED else f"/{self.activation.value}"
        return f"{self.backbone or '?'}@{self.digest[:8]}/{place}{read}/{self.pooling}"

    def to_json(self) -> str:
        """Return one line of JSON with sorted keys, labels included."""
        return json.dumps(
            {
                "activation": self.activation.value,
                "backbone": self.backbone,
                "depth": self.depth,
                "digest": self.digest,
                "gem_p": self.pooling.gem_p,
                "layer": self.layer,
                "pooling": self.pooling.kind.value,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the tap that `to_json` wrote.

        Raises:
            ValueError: a field is missing, of another type or out of range.
        """
        try:
            fields = json.loads(text)
            return cls(
                digest=str(fields["digest"]),
                layer=str(fields["layer"]),
                activation=Activation(fields["activation"]),
                pooling=Pooling(PoolingKind(fields["pooling"]), float(fields["gem_p"])),
                backbone=str(fields["backbone"]),
                depth=int(fields["depth"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text[:200]!r} is not a tap: {error!r}") from error
