"""Backbones, their layers and what is known of them, to messages. Nothing is decided here."""

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.facts import Fidelity
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.rpc.answers import time
from icecore.v1 import backbone_pb2 as pb


def backbone(found: Backbone) -> pb.Backbone:
    facts = found.facts
    return pb.Backbone(
        name=found.name,
        digest=found.digest,
        recipe=recipe(found.recipe),
        card=_card(found.card),
        depths=len(found.ranked),
        create_time=time(found.create_time),
        is_default=found.is_default,
        added_by=facts.added_by,
        file_sha256=facts.file_sha256,
        precision=found.precision,
        graph_bytes=found.graph_bytes,
        layers=len(found.layers),
        derived_from=facts.derived_from,
        fidelity=None if facts.fidelity is None else _fidelity(facts.fidelity),
        recipe_source=facts.recipe_source,
        changes=facts.changes,
    )


def recipe(found: Recipe) -> pb.Recipe:
    return pb.Recipe(
        height=found.height,
        width=found.width,
        resize=found.resize,
        interpolation=found.interpolation,
        channels=found.channels,
        mean=found.mean,
        std=found.std,
        scale=found.scale,
        resize_rule=found.resize_rule,
        resize_width=found.resize_width,
        layout=found.layout,
    )


def layer(found: Layer) -> pb.Layer:
    return pb.Layer(
        name=found.name,
        depth=found.depth or 0,
        channels=found.channels,
        height=found.height,
        width=found.width,
        stride=found.stride,
        thresholded=found.thresholded,
        dims=found.dims,
        params=found.params,
        macs=found.macs,
        op=found.op,
        receptive_field=found.receptive_field,
        prefix_tokens=found.prefix_tokens,
        role=found.role,
    )


def _card(card: Card) -> pb.Card:
    return pb.Card(
        source=card.source,
        licence=card.licence,
        trained_on=card.trained_on,
        notes=card.notes,
        accuracy=card.accuracy,
    )


def _fidelity(found: Fidelity) -> pb.Fidelity:
    return pb.Fidelity(
        n_calibration_images=found.n_calibration_images,
        throughput_ratio=found.throughput_ratio,
        has_vnni=found.has_vnni,
        layers=[
            pb.Fidelity.Layer(name=one.name, depth=one.depth, cosine=one.cosine)
            for one in found.layers
        ],
        probes=[
            pb.Fidelity.Probe(
                set=one.set,
                layer=one.layer,
                n_images=one.n_images,
                float32_accuracy=one.float32_accuracy,
                int8_accuracy=one.int8_accuracy,
                difference_low=one.low,
                difference_high=one.high,
            )
            for one in found.probes
        ],
    )
