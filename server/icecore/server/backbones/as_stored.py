"""Backbones as the store keeps them, and back."""

from dataclasses import replace
from functools import partial

from icecore.server.backbones.backbone import Backbone, digest
from icecore.server.backbones.card import Card
from icecore.server.backbones.facts import Facts
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.errors import StorageCorrupt
from icecore.server.storage.promise import Store
from icecore.server.storage.records import BackboneRecord


def to_record(backbone: Backbone) -> BackboneRecord:
    return BackboneRecord(
        name=backbone.name,
        digest=backbone.digest,
        recipe=backbone.recipe.to_json(),
        card=backbone.card.to_json(),
        create_time=backbone.create_time,
        facts=backbone.facts.to_json(),
    )


def read(store: Store, wanted: str) -> Backbone:
    """Return the backbone of a digest, which holds its layers but not its graph.

    Raises:
        BackboneNotFound: no such digest.
        StorageCorrupt: what is stored does not have the digest it was stored under.
    """
    record = store.backbone(wanted)
    graph = store.backbone_graph(wanted)
    recipe = Recipe.from_json(record.recipe)
    found = digest(graph, recipe)
    if found != wanted:
        raise StorageCorrupt(
            f"backbone {record.name!r} was stored under digest {wanted}, "
            f"but what is there has {found}"
        )
    return light(store, Backbone.read(record.name, graph, recipe), record)


def light(store: Store, found: Backbone, record: BackboneRecord) -> Backbone:
    """Return what was read without its graph, as the store tells of it."""
    return replace(
        found,
        name=record.name,
        load=partial(store.backbone_graph, record.digest),
        card=Card.from_json(record.card),
        facts=Facts.from_json(record.facts),
        create_time=record.create_time,
        is_default=False,
    )
