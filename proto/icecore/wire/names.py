"""Ids and the full names made of them, and which ids are allowed."""

import re

MAX_ID_LENGTH = 128
MAX_EXAMPLE_ID_LENGTH = 1024
MAX_LABEL_LENGTH = 256

_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def check_id(noun: str, text: str) -> str:
    """Return the id of a tenant, collection, probe or backbone, if it may be one.

    Raises:
        ValueError: empty, too long, or with other characters; the sentence says which.
    """
    if not text:
        raise ValueError(f"the {noun}'s id is empty")
    if len(text) > MAX_ID_LENGTH:
        raise ValueError(
            f"the {noun}'s id {_shown(text)} has {len(text)} characters, "
            f"but {MAX_ID_LENGTH} is the most"
        )
    if not _ID.fullmatch(text):
        raise ValueError(
            f"the {noun}'s id {_shown(text)} is not made of letters, digits, '.', '_' and '-' "
            "with a letter or digit first and no '.' last"
        )
    return text


def check_text(noun: str, text: str, *, max_length: int, may_be_empty: bool = False) -> str:
    """Return free text (an example's id, a label) if it is short and printable.

    Slashes are allowed, since ids of examples are relative paths.

    Raises:
        ValueError: empty, too long, or with a control character such as NUL.
    """
    if not text and not may_be_empty:
        raise ValueError(f"the {noun} is empty")
    if len(text) > max_length:
        raise ValueError(
            f"the {noun} {_shown(text)} has {len(text)} characters, but {max_length} is the most"
        )
    for character in text:
        if ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000:
            raise ValueError(f"the {noun} {_shown(text)} has the character {character!r}")
    return text


def collection_name(tenant_id: str, collection_id: str) -> str:
    return f"tenants/{tenant_id}/collections/{collection_id}"


def probe_name(tenant_id: str, probe_id: str) -> str:
    return f"tenants/{tenant_id}/probes/{probe_id}"


def version_name(tenant_id: str, probe_id: str, version: int) -> str:
    return f"{probe_name(tenant_id, probe_id)}/versions/{version}"
