"""What is wrong with a call that changes backbones is named, and nothing of it stays."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from adding import TOY_RECIPE, add_toy, messages
from callers import Caller, calling, refusal
from icecore.v1 import backbone_pb2 as bpb
from servers import Server, serving
from toys import toy_graph

MAX_BYTES = 20_000
NAMES = ["", "a/b", "a\0b", "..", "x" * 2**20, "é", "name with spaces", "sha256:" + "0" * 64]
Header = bpb.AddBackboneRequest.Header


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It takes no file of more than 20 KB, and gives senders up after two seconds."""
    data = tmp_path_factory.mktemp("bad backbones") / "data"
    with serving(data, max_message_mb=2) as server:
        assert server.app is not None
        adding: Any = server.app._parts.adding
        adding._limits = replace(adding._limits, max_file_bytes=MAX_BYTES)
        adding._stall_s = 2.0
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Caller]:
    with calling(server.address, server.admin_key) as caller:
        yield caller


@pytest.fixture(autouse=True)
def nothing_stays(server: Server, admin: Caller) -> Iterator[None]:
    yield
    listed = admin.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
    assert [one.name for one in listed] == ["toy"]
    names = {path.name for path in server.data.iterdir()}
    assert names <= {
        "admin.key",
        "icecore.db",
        "icecore.db-shm",
        "icecore.db-wal",
        "lock",
        "server.json",
        "server.sock",
    }


def header(**fields: Any) -> bpb.AddBackboneRequest:
    return bpb.AddBackboneRequest(header=Header(**{"name": "x", "recipe": TOY_RECIPE, **fields}))


def chunk(data: bytes = b"") -> bpb.AddBackboneRequest:
    return bpb.AddBackboneRequest(chunk=data or toy_graph())


TOML = bpb.RecipeFile(name="r.toml", content=b"height = 8")
STREAMS: dict[str, tuple[list[bpb.AddBackboneRequest], str, str]] = {
    "nothing": ([], "ARGUMENT_INVALID", "before its header"),
    "no header": ([chunk()], "ARGUMENT_INVALID", "first message of the stream holds no header"),
    "an empty message": (
        [bpb.AddBackboneRequest()],
        "ARGUMENT_INVALID",
        "first message of the stream holds no header",
    ),
    "a header twice": (
        [header(), chunk(), header()],
        "ARGUMENT_INVALID",
        "message 3 of the stream holds a header again",
    ),
    "an empty message later": (
        [header(), bpb.AddBackboneRequest()],
        "ARGUMENT_INVALID",
        "message 2 of the stream holds nothing",
    ),
    "no file": ([header()], "GRAPH_INVALID", "the file is empty"),
    "text": ([header(), chunk(b"hello")], "GRAPH_INVALID", ""),
    "half a file": ([header(), chunk(toy_graph()[:1500])], "GRAPH_INVALID", ""),
    "a broken request id": ([header(request_id="a b"), chunk()], "REQUEST_ID_INVALID", "'a b'"),
    "a long request id": ([header(request_id="x" * 129), chunk()], "REQUEST_ID_INVALID", "128"),
    "two recipes": (
        [header(recipe_file=TOML), chunk()],
        "RECIPE_INVALID",
        "both a recipe and a recipe file",
    ),
    "a recipe of nothing": ([header(recipe=bpb.Recipe()), chunk()], "RECIPE_INVALID", "height"),
    "a recipe of another size": (
        [header(recipe=bpb.Recipe(height=9, width=9)), chunk()],
        "RECIPE_INVALID",
        "9 x 9",
    ),
    "an unknown interpolation": (
        [header(recipe=bpb.Recipe(height=8, width=8, interpolation="best")), chunk()],
        "RECIPE_INVALID",
        "'best'",
    ),
    "a mean of two": (
        [header(recipe=bpb.Recipe(height=8, width=8, mean=[1, 2])), chunk()],
        "RECIPE_INVALID",
        "mean",
    ),
    "a std of 0": (
        [header(recipe=bpb.Recipe(height=8, width=8, std=[1, 0, 1])), chunk()],
        "RECIPE_INVALID",
        "std",
    ),
    "a recipe file of nonsense": (
        [
            bpb.AddBackboneRequest(
                header=Header(name="x", recipe_file=bpb.RecipeFile(name="r", content=b"\xff{"))
            ),
            chunk(),
        ],
        "RECIPE_INVALID",
        "'r'",
    ),
    "a recipe file of 2 MB": (
        [
            bpb.AddBackboneRequest(
                header=Header(name="x", recipe_file=bpb.RecipeFile(content=bytes(1_100_000)))
            ),
            chunk(),
        ],
        "RECIPE_INVALID",
        "1,048,576",
    ),
    "a card with NUL": ([header(card=bpb.Card(source="a\0")), chunk()], "NAME_INVALID", "source"),
    "a card of 3,000 characters": (
        [header(card=bpb.Card(notes="x" * 3000)), chunk()],
        "NAME_INVALID",
        "2,000",
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_wrong_addition_says_what_is_wrong(name: str, admin: Caller) -> None:
    stream, reason, words = STREAMS[name]
    said = refusal(lambda: admin.backbones.AddBackbone(iter(stream)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", reason), said
    assert words in said.message
    assert len(said.message) < 500


@pytest.mark.parametrize("name", NAMES)
def test_a_backbones_name_has_rules(name: str, admin: Caller) -> None:
    for call in (
        lambda: admin.backbones.AddBackbone(iter([header(name=name), chunk()])),
        lambda: admin.backbones.RemoveBackbone(bpb.RemoveBackboneRequest(backbone=name)),
    ):
        said = refusal(call)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "NAME_INVALID")
        assert len(said.message) < 300


def test_a_file_that_is_too_large_is_refused_as_soon_as_it_is_seen(admin: Caller) -> None:
    n_sent = 0

    def endless() -> Iterator[bpb.AddBackboneRequest]:
        nonlocal n_sent
        yield header()
        while n_sent < 10_000:
            n_sent += 1
            yield chunk(bytes(1000))

    said = refusal(lambda: admin.backbones.AddBackbone(endless()))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "GRAPH_TOO_LARGE")
    assert f"{MAX_BYTES:,}" in said.message
    assert n_sent < 10_000, "all of it was read first"


def test_a_chunk_over_the_message_limit_is_refused(admin: Caller) -> None:
    said = refusal(lambda: admin.backbones.AddBackbone(iter([header(), chunk(bytes(3 << 20))])))
    assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")


def test_a_sender_who_stands_still_is_given_up(admin: Caller) -> None:
    done = threading.Event()

    def standing() -> Iterator[bpb.AddBackboneRequest]:
        yield header()
        done.wait(60)

    try:
        said = refusal(lambda: admin.backbones.AddBackbone(standing()))
    finally:
        done.set()
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert "nothing came for 2 s" in said.message


def test_an_absent_backbone_is_not_removed(admin: Caller) -> None:
    request = bpb.RemoveBackboneRequest(backbone="toi")
    said = refusal(lambda: admin.backbones.RemoveBackbone(request))
    assert (said.code, said.reason) == ("NOT_FOUND", "BACKBONE_NOT_FOUND")
    assert "there is 'toy'" in said.message


def test_what_is_refused_may_be_sent_again_under_its_id(admin: Caller) -> None:
    broken = messages("x", toy_graph()[:1000], recipe=TOY_RECIPE, request_id="again")
    assert refusal(lambda: admin.backbones.AddBackbone(broken)).reason == "GRAPH_INVALID"
    made = add_toy(admin, "x", request_id="again")
    admin.backbones.RemoveBackbone(bpb.RemoveBackboneRequest(backbone=made.name))
