"""Which calls are for whom."""

from enum import Enum
from functools import lru_cache
from typing import Final


class Access(Enum):
    """Who may make a call."""

    ANYONE = "anyone"
    KNOWN = "known"
    """A tenant or the administrator: what is shared by all, or the caller's own."""
    TENANT = "tenant"
    ADMINISTRATOR = "administrator"


_ANYONE: Final = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
_ADMINISTRATOR: Final = (
    "/icecore.v1.TenantService/",
    "/icecore.v1.BackboneService/AddBackbone",
    "/icecore.v1.BackboneService/RemoveBackbone",
    "/icecore.v1.BackboneService/CheckRecipe",
    "/icecore.v1.BackboneService/QuantiseBackbone",
)
_KNOWN: Final = (
    "/icecore.v1.BackboneService/ListBackbones",
    "/icecore.v1.BackboneService/GetBackbone",
    "/icecore.v1.TenantService/GetUsage",  # of whom, it looks at itself
    "/inference.GRPCInferenceService/ServerMetadata",
)

_EMBEDDING: Final = (
    "/icecore.v1.CodesService/Embed",
    "/inference.GRPCInferenceService/ModelInfer",
)


@lru_cache(maxsize=1024)
def access_to(method: str) -> Access:
    """Return who may call the method, given as "/package.Service/Method"."""
    if method.startswith(_ANYONE):
        return Access.ANYONE
    if method in _KNOWN:
        return Access.KNOWN
    return Access.ADMINISTRATOR if method.startswith(_ADMINISTRATOR) else Access.TENANT


def always_embeds(method: str) -> bool:
    """Return whether every call of the method brings images to be embedded."""
    return method in _EMBEDDING
