"""Advice as the server sees it: what becomes of the process, and of those who wait for it.

The processes are stand-ins: what is judged is tested elsewhere.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.example_input import ExampleInput
from icecore.server.embedding.images import Pixels
from icecore.server.embedding.ingest import Ingest
from icecore.server.errors import (
    CollectionNotFound,
    ExampleNotFound,
    Internal,
    InvalidArgument,
    ShuttingDown,
)
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import TenantStore
from icecore.server.training.advising import subject as subjects
from icecore.server.training.advising.adviser import Adviser
from icecore.server.training.advising.request import AdviceRequest
from toy_store import put_toy_backbone

REQUEST = AdviceRequest("lights")

READS = """
import os, sys, time
from icecore.server.training.frames import read_frame, read_message, write_message
request = read_message(sys.stdin.buffer)
codes = [read_frame(sys.stdin.buffer) for _ in request["candidates"]]
def say(**message):
    write_message(sys.stdout.buffer, message)
"""
"""A process that takes what it is to judge."""

STANDS = READS + 'say(event="progress", stage=str(os.getpid()), progress=0.5); time.sleep(600)'
"""Tells its number and does nothing more."""

ASKS = READS + (
    'say(event="progress", stage="layers", progress=0.5)\n'
    'say(event="chosen", backbone=request["candidates"][0]["backbone"])\n'
    "asked = read_message(sys.stdin.buffer)\n"
    "while True: read_frame(sys.stdin.buffer)"
)
"""Wants images, and never has enough of them."""


def nothing(*now: object) -> None: ...


def script(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


@dataclass
class House:
    catalog: Catalog
    embedder: Embedder
    store: TenantStore

    def adviser(self, text: str) -> Adviser:
        return Adviser(self.catalog, self.embedder, command=script(text))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A collection of eight labelled images over the toy."""
    with DataFolder(tmp_path / "data") as folder:
        store = open_sqlite(folder)
        backbone = put_toy_backbone(store)
        catalog = Catalog(store, default="toy")
        embedder = Embedder(Sessions(max_bytes=1 << 24, threads=1), threads=1)
        tenant = store.tenant("default")
        tenant.create_collection("lights", backbone="toy", digest=backbone.digest, keep_images=True)
        random = np.random.default_rng(0)
        images = [Pixels(random.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(8)]
        await Ingest(catalog, embedder).add(
            tenant,
            "lights",
            [
                ExampleInput(f"{place}", "odd" if place % 2 else "even", {}, image)
                for place, image in enumerate(images)
            ],
        )
        yield House(catalog, embedder, tenant)
        embedder.close()
        store.close()


async def asked(adviser: Adviser, house: House, request: AdviceRequest = REQUEST) -> object:
    return await adviser.advise(house.store, request, on_progress=nothing)


async def begun(adviser: Adviser, house: House) -> tuple["asyncio.Task[object]", int]:
    """Return an advice under way, and the number of its process."""
    told: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    work: asyncio.Task[object] = asyncio.create_task(
        adviser.advise(house.store, REQUEST, on_progress=lambda *now: told.put_nowait(now))
    )
    while True:
        stage, _ = await told.get()
        if stage.isdecimal():
            return work, int(stage)


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_process_that_breaks_is_our_fault(house: House) -> None:
    with pytest.raises(Internal, match="judged collection 'lights' ended with status 3"):
        await asked(house.adviser("import sys; sys.exit(3)"), house)
    with pytest.raises(Internal, match="was killed by signal 9"):
        await asked(house.adviser(READS + "os.kill(os.getpid(), 9)"), house)


async def test_what_it_refuses_is_refused_so(house: House) -> None:
    text = READS + 'say(event="refused", reason="CODES_INVALID", message="no", details={})'
    with pytest.raises(InvalidArgument, match="no") as caught:
        await asked(house.adviser(text), house)
    assert caught.value.reason == "CODES_INVALID"


async def test_it_gives_way_but_not_to_everything(house: House) -> None:
    """Somebody waits for it."""
    adviser = house.adviser(STANDS)
    work, pid = await begun(adviser, house)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10
    await adviser.close()
    with pytest.raises(ShuttingDown):
        await work


async def test_a_caller_who_leaves_ends_the_process(house: House) -> None:
    work, pid = await begun(house.adviser(STANDS), house)
    assert lives(pid)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not lives(pid)


async def test_a_server_that_stops_says_so_to_those_who_wait_too(house: House) -> None:
    adviser = house.adviser(STANDS)
    first, pid = await begun(adviser, house)
    second = asyncio.create_task(asked(adviser, house))
    await asyncio.sleep(0)
    await adviser.close()
    for work in (first, second):
        with pytest.raises(ShuttingDown, match="gives no more advice"):
            await work
    assert not lives(pid)
    with pytest.raises(ShuttingDown):
        await asked(adviser, house)


async def test_an_image_that_goes_meanwhile_ends_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = type(house.store).image

    def gone(store: TenantStore, collection_id: str, example_id: str) -> bytes:
        if example_id == "0":
            house.store.delete_examples("lights", ["5"])
        return bytes(read(store, collection_id, example_id))

    adviser = house.adviser(ASKS)

    def told(stage: str, _: float) -> None:
        if stage == "layers":
            monkeypatch.setattr(type(house.store), "image", gone)

    with pytest.raises(ExampleNotFound, match="example '5' of collection 'lights' was deleted"):
        await adviser.advise(house.store, REQUEST, on_progress=told)


async def test_images_that_change_while_they_are_read_are_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; a collection that never rests is refused."""
    snapshot, removed = house.store.snapshot, list[str]()

    def changing(self: TenantStore, collection_id: str, layers: Sequence[str] = ()) -> object:
        if layers and len(removed) < n_changes:
            removed.append(f"{len(removed)}")
            house.store.delete_examples("lights", removed[-1:])
        return snapshot(collection_id, layers)

    monkeypatch.setattr(type(house.store), "snapshot", changing)
    backbone = house.catalog.get()
    core = core_of(backbone, house.store.collection("lights"))
    gathering = partial(
        subjects.Gathering, house.store, house.embedder, "lights", backbone, core, [backbone]
    )
    n_changes = 1
    subject = await gathering(nothing).subject(100, seed=0)
    assert [one.example_id for one in subject.examples] == [str(place) for place in range(1, 8)]
    assert [len(one.codes) for one in subject.layers] == [7] * 4
    n_changes = 3
    with pytest.raises(ExampleNotFound, match="ask again"):
        await gathering(nothing).subject(100, seed=0)


async def test_codes_that_do_not_fit_are_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "MAX_CODE_BYTES", 8 * 4 * 20)
    with pytest.raises(InvalidArgument, match="8 images at 4 layers have 672 bytes, but 640"):
        await asked(house.adviser(STANDS), house)


async def test_a_collection_that_is_not_there_is_refused(house: House) -> None:
    with pytest.raises(CollectionNotFound):
        await asked(house.adviser(STANDS), house, AdviceRequest("absent"))


@pytest.mark.parametrize("wrong", [{"max_images": 0}, {"backbones": ("toy",) * 17}])
def test_a_request_that_asks_too_much_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        AdviceRequest("lights", **wrong)  # type: ignore[arg-type]
