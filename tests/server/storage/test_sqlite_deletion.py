"""Deleted is gone from the files: every byte of database and log is looked through."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import NewBatch, NewExample, OnDuplicate
from icecore.server.storage.sqlite.store import SqliteStore
from storing import DIGEST, bytes_on_disk, codes_of, put_backbone, request

SECRET = "zebra"
"""Begins every text of what is deleted; nothing else on the disk has it."""

CODE = np.float16(27.109375)
SECRET_CODES = np.full(4, CODE).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    opened = open_sqlite(folder)
    put_backbone(opened)
    yield opened
    opened.close()


def batch(names: list[str], *, is_secret: bool, image_bytes: int = 5000) -> NewBatch:
    word = SECRET if is_secret else "horse"
    image = (word * image_bytes).encode()[:image_bytes]
    core = codes_of(names, {"one": 4, "wide": 300})
    if is_secret:
        core = {layer: np.full_like(array, CODE) for layer, array in core.items()}
    examples = [
        NewExample(f"{word}/{name}", f"{word}-label", {f"{word}-key": word}, f"{word}-sha", image)
        for name in names
    ]
    return NewBatch(examples, core)


def fill(store: SqliteStore, collection_id: str, *, is_secret: bool, n: int = 60) -> None:
    tenant = store.tenant("default")
    tenant.create_collection(
        collection_id,
        backbone="toy",
        digest=DIGEST,
        keep_images=True,
        mutation=request(f"make {is_secret}"),
    )
    sizes = random.Random(1)
    names = [f"{i:04}" for i in range(n)]
    while names:
        size = sizes.choice([1, 1, 1, 7])
        tenant.add_examples(
            collection_id,
            batch(names[:size], is_secret=is_secret, image_bytes=sizes.choice([40, 900, 9000])),
            on_duplicate=OnDuplicate.REFUSE,
        )
        names = names[size:]


def assert_gone(folder: Path, *patterns: bytes) -> None:
    found = bytes_on_disk(folder)
    for pattern in patterns:
        at = found.find(pattern)
        assert at < 0, f"{pattern!r} is still there: {found[max(0, at - 60) : at + 60]!r}"


def test_a_deleted_collection_leaves_nothing(store: SqliteStore, folder: Path) -> None:
    fill(store, "horses", is_secret=False)
    fill(store, f"{SECRET}s", is_secret=True)
    assert SECRET.encode() in bytes_on_disk(folder), "the test's own secret is never stored"
    assert SECRET_CODES in bytes_on_disk(folder)
    store.tenant("default").delete_collection(f"{SECRET}s", mutation=request("delete"))
    assert_gone(folder, SECRET.encode(), SECRET_CODES)
    assert store.tenant("default").collection("horses").n_examples == 60
