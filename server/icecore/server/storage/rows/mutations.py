"""Exactly-once: the first answer to each request id of each owner.

An answer is JSON. It goes, but its row stays, when the thing it tells of (its
subject) is deleted: so a late retry does nothing and nothing deleted is kept.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy import bindparam as parameter

from icecore.server.errors import NotFound, RequestIdReused
from icecore.server.storage.change import Change
from icecore.server.storage.records import Mutation
from icecore.server.storage.rows import values
from icecore.server.storage.schema import mutations

ADMINISTRATORS = 0
"""The owner of requests that no tenant makes; tenants are numbered from 1."""

_SWEEP_EVERY = 1000
_KEPT_MICROSECONDS = timedelta(days=2) // timedelta(microseconds=1)

_FIND = select(mutations.c.method, mutations.c.fingerprint, mutations.c.answer).where(
    mutations.c.owner == parameter("owner"), mutations.c.request_id == parameter("request")
)
_KEEP = insert(mutations).returning(mutations.c.pk)


def once(
    change: Change,
    owner: int,
    mutation: Mutation | None,
    subject: Callable[[Any], str],
    absent: type[NotFound],
    work: Callable[[], Any],
) -> Any:
    """Return what `work` returns (JSON), or what it returned to this mutation before.

    Args:
        owner: the number of the tenant, or ADMINISTRATORS.
        subject: what an answer tells of, for `forget`; "" for nothing.
        absent: raised where the answer was forgotten.

    Raises:
        RequestIdReused: the owner used the id for another request.
        NotFound: `absent`.
    """
    if mutation is None:
        return work()
    row = _find(change.connection, owner, mutation)
    if row is not None:
        if row.answer is None:
            raise absent(
                f"what request {mutation.request_id!r} was about has been deleted since it was done"
            )
        return json.loads(row.answer)
    answer = work()
    made = change.connection.execute(
        _KEEP,
        {
            "owner": owner,
            "request_id": mutation.request_id,
            "method": mutation.method,
            "fingerprint": mutation.fingerprint,
            "answer": json.dumps(answer, sort_keys=True),
            "subject": subject(answer),
            "create_time": values.now(),
        },
    ).scalar_one()
    if made % _SWEEP_EVERY == 0:
        forget_old(change)
    return answer


def nothing(_: Any) -> str:
    """The subject of answers that tell of nothing that can be deleted."""
    return ""


def answered(connection: Connection, owner: int, mutation: Mutation) -> Any:
    """Return the answer this mutation got before; None if it got none.

    Raises:
        RequestIdReused: as for `once`.
    """
    row = _find(connection, owner, mutation)
    return None if row is None or row.answer is None else json.loads(row.answer)


def forget(change: Change, owner: int, subject: str) -> None:
    """Drop the answers that tell of something deleted, or of a part of it."""
    # "0" follows "/": between the two lies all that begins with the subject and "/".
    parts = mutations.c.subject.between(subject + "/", subject + "0")
    change.connection.execute(
        update(mutations)
        .where(mutations.c.owner == owner, or_(mutations.c.subject == subject, parts))
        .values(answer=None, subject="")
    )


def amend(change: Change, owner: int, subject: str, without: Callable[[Any], Any]) -> None:
    """Change the answers that tell of something of which a part is deleted."""
    told = (mutations.c.owner == owner, mutations.c.subject == subject)
    rows = change.connection.execute(select(mutations.c.pk, mutations.c.answer).where(*told)).all()
    for row in rows:
        change.connection.execute(
            update(mutations)
            .where(mutations.c.pk == row.pk)
            .values(answer=json.dumps(without(json.loads(row.answer)), sort_keys=True))
        )


def forget_owner(change: Change, owner: int) -> None:
    """Drop all requests of a tenant that is deleted."""
    change.connection.execute(delete(mutations).where(mutations.c.owner == owner))


def forget_old(change: Change) -> None:
    """Drop the requests that are too old for a retry."""
    oldest = values.now() - _KEPT_MICROSECONDS
    change.connection.execute(delete(mutations).where(mutations.c.create_time < oldest))


def _find(connection: Connection, owner: int, mutation: Mutation) -> Any:
    row = connection.execute(_FIND, {"owner": owner, "request": mutation.request_id}).first()
    if row is not None and (row.method, row.fingerprint) != (mutation.method, mutation.fingerprint):
        raise RequestIdReused(
            f"request id {mutation.request_id!r} was used for another call or other arguments: "
            "every request needs an id of its own"
        )
    return row
