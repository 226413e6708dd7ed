"""Who may use shared memory: the table of switches, listeners and peers."""

import pytest

from icecore.server.errors import SharedMemoryOff
from icecore.server.rpc.kserve.sharing import Sharing

LOCAL = ("ipv4:127.0.0.1:4711", "ipv4:127.8.9.1:1", "ipv6:[::1]:4711", "ipv6:%5B::1%5D:4711")
FAR = ("ipv4:10.1.2.3:4711", "ipv6:[2001:db8::1]:80", "ipv4:128.0.0.1:1", "", "vsock:3:1", "ipv4:")


@pytest.mark.parametrize("peer", ["unix:", "unix:/run/icecore.sock", *LOCAL, *FAR])
@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("listens_to_others", [True, False])
def test_only_this_machine_shares_memory_and_only_if_it_is_on(
    peer: str, is_on: bool, listens_to_others: bool
) -> None:
    """Behind a proxy on a server that listens to others, everybody looks local."""
    sharing = Sharing(is_on=is_on, listens_to_others=listens_to_others)
    is_local = peer in LOCAL and not listens_to_others
    if is_on and (peer.startswith("unix:") or is_local):
        assert sharing.regions(peer) is sharing.regions("unix:")
        return
    with pytest.raises(SharedMemoryOff, match="memory"):
        sharing.regions(peer)
