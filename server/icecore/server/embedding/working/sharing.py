"""Which pieces of one backbone go through the network together.

Pieces at the same taps always do. Others share a pass, cut at the taps of both, where the
pass saved costs more than what the shallower ones go deeper than they had to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.feeds import feed_of
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.scheduling.pieces import Piece
from icecore.server.embedding.working.plans import Plan
from icecore.wire.taps import TapId


class Member(Protocol):
    """A prepared piece."""

    @property
    def piece(self) -> Piece: ...
    @property
    def inputs(self) -> npt.NDArray[Any]: ...


One = TypeVar("One", bound=Member)


@dataclass(slots=True)
class Group(Generic[One]):
    """What one pass reads, and for whom."""

    taps: tuple[TapId, ...]
    members: list[One]


def shared(ready: Sequence[One], plan: Plan, sessions: Sessions) -> list[Group[One]]:
    """Return the passes for some pieces of one backbone, in their order.

    Another cut is used for a shared pass only if its session is there; it is asked for,
    so that the next ones find it.
    """
    by_kind: dict[Any, Group[One]] = {}
    for one in ready:
        kind = (one.inputs.dtype, one.inputs.shape, one.piece.taps)
        by_kind.setdefault(kind, Group(one.piece.taps, [])).members.append(one)
    backbone = ready[0].piece.backbone
    groups: list[Group[One]] = []
    for group in by_kind.values():
        for other in groups:
            if _join(other, group, backbone, plan, sessions):
                break
        else:
            groups.append(group)
    return groups


def costs_less(
    backbone: Backbone,
    plan: Plan,
    one: tuple[Sequence[TapId], int],
    other: tuple[Sequence[TapId], int],
) -> bool:
    """Whether a pass for both costs less than one for each: taps and number of images."""
    (taps, n), (more, m) = one, other
    mine, theirs = _depth(backbone, taps), _depth(backbone, more)
    further = n * (max(mine, theirs) - mine) + m * (max(mine, theirs) - theirs)
    return further * plan.an_image_ms < plan.a_pass_ms


def _join(
    into: Group[One], group: Group[One], backbone: Backbone, plan: Plan, sessions: Sessions
) -> bool:
    """Put a group into another if that is cheaper and can be done now."""
    a, b = into.members[0].inputs, group.members[0].inputs
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    sizes = (into.taps, len(into.members)), (group.taps, len(group.members))
    if not costs_less(backbone, plan, *sizes):
        return False
    union = tuple(dict.fromkeys((*into.taps, *group.taps)))
    is_known = set(union) in (set(into.taps), set(group.taps))
    if not is_known and not sessions.is_at_hand(backbone, union, feed_of(a[None], backbone.recipe)):
        return False
    into.taps = union
    into.members.extend(group.members)
    return True


def _depth(backbone: Backbone, taps: Sequence[TapId]) -> float:
    """The part of the network's work that a pass to the deepest of the taps does, 0 to 1."""
    whole = max(layer.macs for layer in backbone.layers)
    deepest = max(backbone.layer_of(tap).macs for tap in taps)
    return deepest / whole if whole else 1.0
