"""What a writing function is given: the connection, in a transaction that others end."""

from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(slots=True)
class Change:
    """One caller's change; it happens whole or not at all.

    A function that deletes what must be gone from the disk sets `erases`: the
    keeper then overwrites what its log still holds before the caller is answered.
    """

    connection: Connection
    erases: bool = False
