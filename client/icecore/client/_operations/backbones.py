"""Operations of BackboneService."""

from icecore.client._operations.operation import Operation, nothing, request_id_or_new, time_of
from icecore.client.backbone_values import (
    Backbone,
    Card,
    Fidelity,
    Layer,
    LayerFidelity,
    ProbeFidelity,
    Recipe,
)
from icecore.v1 import backbone_pb2 as pb

SERVICE = "BackboneService"


def backbones() -> Operation[list[Backbone]]:
    return Operation(
        SERVICE,
        "ListBackbones",
        pb.ListBackbonesRequest(),
        pb.ListBackbonesResponse,
        lambda answer: [backbone_value(message) for message in answer.backbones],
    )


def backbone(name: str) -> Operation[Backbone]:
    return Operation(
        SERVICE,
        "GetBackbone",
        pb.GetBackboneRequest(backbone=name),
        pb.GetBackboneResponse,
        lambda answer: backbone_value(answer.backbone),
    )


def layers(name: str) -> Operation[list[Layer]]:
    return Operation(
        SERVICE,
        "GetBackbone",
        pb.GetBackboneRequest(backbone=name),
        pb.GetBackboneResponse,
        lambda answer: [layer_value(message) for message in answer.layers],
    )


def remove(name: str, *, request_id: str | None) -> Operation[None]:
    return Operation(
        SERVICE,
        "RemoveBackbone",
        pb.RemoveBackboneRequest(request_id=request_id_or_new(request_id), backbone=name),
        pb.RemoveBackboneResponse,
        nothing,
    )


def backbone_value(message: pb.Backbone) -> Backbone:
    card = message.card
    return Backbone(
        name=message.name,
        digest=message.digest,
        recipe=recipe_value(message.recipe),
        card=Card(card.source, card.licence, card.trained_on, card.notes, card.accuracy),
        depths=message.depths,
        create_time=time_of(message.create_time),
        is_default=message.is_default,
        added_by=message.added_by,
        file_sha256=message.file_sha256,
        precision=message.precision,
        graph_bytes=message.graph_bytes,
        layers=message.layers,
        derived_from=message.derived_from,
        fidelity=_fidelity(message.fidelity) if message.HasField("fidelity") else None,
        recipe_source=message.recipe_source,
        changes=tuple(message.changes),
    )


def recipe_value(message: pb.Recipe) -> Recipe:
    return Recipe(
        height=message.height,
        width=message.width,
        resize=message.resize,
        interpolation=message.interpolation,
        channels=message.channels,
        mean=tuple(message.mean),
        std=tuple(message.std),
        scale=message.scale or 1 / 255,
        resize_rule=message.resize_rule or "shorter",
        resize_width=message.resize_width,
        layout=message.layout or "NCHW",
    )


def recipe_message(recipe: Recipe) -> pb.Recipe:
    return pb.Recipe(
        height=recipe.height,
        width=recipe.width,
        resize=recipe.resize,
        interpolation=recipe.interpolation,
        channels=recipe.channels,
        mean=recipe.mean,
        std=recipe.std,
        scale=recipe.scale,
        resize_rule=recipe.resize_rule,
        resize_width=recipe.resize_width,
        layout=recipe.layout,
    )


def layer_value(message: pb.Layer) -> Layer:
    return Layer(
        name=message.name,
        depth=message.depth or None,
        channels=message.channels,
        height=message.height,
        width=message.width,
        stride=message.stride,
        thresholded=message.thresholded,
        dims=message.dims,
        params=message.params,
        macs=message.macs,
        op=message.op,
        receptive_field=message.receptive_field,
        prefix_tokens=message.prefix_tokens,
        role=message.role,
    )


def _fidelity(message: pb.Fidelity) -> Fidelity:
    return Fidelity(
        n_calibration_images=message.n_calibration_images,
        throughput_ratio=message.throughput_ratio,
        has_vnni=message.has_vnni,
        layers=tuple(
            LayerFidelity(one.name, one.depth or None, one.cosine) for one in message.layers
        ),
        probes=tuple(
            ProbeFidelity(
                set=one.set,
                layer=one.layer,
                n_images=one.n_images,
                float32_accuracy=one.float32_accuracy,
                int8_accuracy=one.int8_accuracy,
                low=one.difference_low,
                high=one.difference_high,
            )
            for one in message.probes
        ),
    )
