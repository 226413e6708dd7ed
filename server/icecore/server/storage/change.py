"""What a writing function is given: the connection, in a transaction that others end."""

from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(slots=True)
class Change:
    """One caller's change; it happens whole or not at all.

    A function that deletes what must be gone from the disk sets `erases`: the
    keeper then overwrites what its log still holds before the caller is answered.
    One that makes the tenant's bytes more or fewer adds the difference to `n_bytes`, or
    to `n_packed_bytes` where nobody asked for it (see `rows.stored`).
    """

    connection: Connection
    erases: bool = False
    n_bytes: int = 0
    n_packed_bytes: int = 0
