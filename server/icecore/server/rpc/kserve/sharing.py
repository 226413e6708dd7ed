"""Who may use shared memory: nobody unless it is switched on, and then only this machine."""

from urllib.parse import unquote

from icecore.server.errors import SharedMemoryOff
from icecore.server.rpc.kserve.regions import Regions
from icecore.server.settings import SettingsInvalid, host_and_port, is_loopback


class Sharing:
    """Gives the regions to those who may have them."""

    def __init__(self, *, is_on: bool, listens_to_others: bool) -> None:
        """With `listens_to_others` only the folder's own socket counts as this machine:

        behind a proxy every peer is a loopback address.
        """
        self.is_on = is_on
        self._listens_to_others = listens_to_others
        self._regions = Regions()

    def regions(self, peer: str) -> Regions:
        """Return the regions for a caller, given as gRPC names the other end.

        Raises:
            SharedMemoryOff: they are not served, or not to this caller.
        """
        if not self.is_on:
            raise SharedMemoryOff(
                "this server shares no memory: start it with --shared-memory, or send tensors "
                "with the request"
            )
        if not peer.startswith("unix:") and (self._listens_to_others or not _is_local(peer)):
            raise SharedMemoryOff(
                "memory is shared over the data folder's socket and a loopback address only, on "
                "servers that do not listen to others: send tensors with the request"
            )
        return self._regions

    def forget(self, tenant_id: str) -> None:
        """Close what a deleted tenant registered."""
        self._regions.unregister(tenant_id, "")

    def close(self) -> None:
        """Close all. Idempotent."""
        self._regions.close()


def _is_local(peer: str) -> bool:
    _, _, address = unquote(peer).partition(":")
    try:
        return is_loopback(host_and_port(address)[0])
    except SettingsInvalid:
        return False
