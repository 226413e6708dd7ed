"""Client's calls about backbones."""

from icecore.client._operations import backbones as operations
from icecore.client._sync.calls import Calls
from icecore.client.values import Backbone, Layer


class BackboneCalls(Calls):
    def backbones(self, *, timeout_s: float | None = None) -> list[Backbone]:
        """Return the server's backbones, by name."""
        return self._transport.unary(operations.backbones(), timeout_s)

    def backbone(self, name: str = "", *, timeout_s: float | None = None) -> Backbone:
        """Return one backbone; "" is the default one.

        Raises:
            NotFound: there is none of this name; the sentence lists near ones.
        """
        return self._transport.unary(operations.backbone(name), timeout_s)

    def layers(self, backbone: str = "", *, timeout_s: float | None = None) -> list[Layer]:
        """Return a backbone's layers in topological order; "" is the default backbone."""
        return self._transport.unary(operations.layers(backbone), timeout_s)
