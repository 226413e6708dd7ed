"""What a probe reads, as the opaque text that it keeps: equal only where taps are."""

import json
from collections.abc import Sequence

from icecore.wire.taps import TapId


def identity(tap: TapId) -> str:
    """Return the tap's identity as text, without its labels."""
    return TapId(tap.digest, tap.layer, tap.activation, tap.pooling).to_json()


def identity_of(taps: Sequence[TapId]) -> str:
    """Return that of one tap, or of several joined in this order."""
    return joined([identity(tap) for tap in taps])


def joined(identities: Sequence[str]) -> str:
    """Return the only one of some identities, or one of them all, in this order."""
    return identities[0] if len(identities) == 1 else json.dumps(list(identities))
