"""Operations of BackboneService."""

from icecore.client._operations.operation import Operation, time_of
from icecore.client.values import Backbone, Card, Layer, Recipe
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


def backbone_value(message: pb.Backbone) -> Backbone:
    recipe, card = message.recipe, message.card
    return Backbone(
        name=message.name,
        digest=message.digest,
        recipe=Recipe(
            height=recipe.height,
            width=recipe.width,
            resize=recipe.resize,
            interpolation=recipe.interpolation,
            channels=recipe.channels,
            mean=tuple(recipe.mean),
            std=tuple(recipe.std),
        ),
        card=Card(card.source, card.licence, card.trained_on, card.notes),
        depths=message.depths,
        create_time=time_of(message.create_time),
        is_default=message.is_default,
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
    )
