"""Raw AddBackbone calls: a header, then the file in chunks; and servers that look at no file."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from callers import Caller
from icecore.server.backbones.admission.admitting import Admitted
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.v1 import backbone_pb2 as bpb
from servers import Server
from toys import toy_graph, toy_recipe

TOY_RECIPE = bpb.Recipe(height=8, width=8, resize=8)


def messages(
    name: str, data: bytes, *, chunk_bytes: int = 1 << 20, **fields: Any
) -> Iterator[bpb.AddBackboneRequest]:
    """The stream of one call; `fields` are the header's."""
    yield bpb.AddBackboneRequest(header=bpb.AddBackboneRequest.Header(name=name, **fields))
    for start in range(0, len(data), chunk_bytes):
        yield bpb.AddBackboneRequest(chunk=data[start : start + chunk_bytes])


def add_backbone(caller: Caller, name: str, data: bytes, **fields: Any) -> bpb.Backbone:
    """Add a file as an administrator does."""
    answer: bpb.AddBackboneResponse = caller.backbones.AddBackbone(messages(name, data, **fields))
    return answer.backbone


def add_toy(caller: Caller, name: str, seed: int = 0, **fields: Any) -> bpb.Backbone:
    return add_backbone(caller, name, toy_graph(seed), **{"recipe": TOY_RECIPE, **fields})


def remove_backbone(caller: Caller, name: str, request_id: str = "") -> None:
    request = bpb.RemoveBackboneRequest(backbone=name, request_id=request_id)
    caller.backbones.RemoveBackbone(request)


@contextmanager
def believing(server: Server) -> Iterator[Any]:
    """Files are taken for what they are said to be: looking takes most of a second each."""
    assert server.app is not None
    adding: Any = server.app._parts.adding
    looking, adding._admit = adding._admit, believed
    try:
        yield adding
    finally:
        adding._admit = looking


def believed(data: bytes, *, recipe: Recipe | None = None, **_: Any) -> Admitted:
    """What `admit` gives for a file in house form, if all is well with it; of none, a toy."""
    return Admitted(
        graph=data,
        recipe=recipe or toy_recipe(),
        recipe_source="given",
        card=Card(),
        changes=(),
        file_sha256=hashlib.sha256(data).hexdigest(),
    )
