"""What calls about tenants give: tenants and their keys."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns collections and probes."""

    tenant_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret."""

    key_id: str
    tenant_id: str
    label: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is shown this once, and not by `repr`."""

    key: Key
    secret: str = field(repr=False)
