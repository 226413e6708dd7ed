"""Hostile files whose versions, attributes or metadata make no sense."""

import onnx
from onnx import helper

from hostile_parts import Change, File, Made, changed, network


def _version(*versions: int, ir: int = 8) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid("", version) for version in versions)
        model.ir_version = ir

    return change


def _attribute(name: str, value: object) -> Change:
    """An attribute of the first convolution."""

    def change(model: onnx.ModelProto) -> None:
        node = model.graph.node[0]
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def _metadata(key: str, value: str) -> Made:
    def make() -> onnx.ModelProto:
        model = network()
        model.metadata_props.add(key=key, value=value)
        return model

    return make


FILES: dict[str, File] = {
    "operators of version 9,999": (changed(_version(9_999)), "invalid", ""),
    "operators of version 0": (changed(_version(0)), "invalid", ""),
    "operators of no version": (changed(_version()), "invalid", ""),
    "operators of two versions": (changed(_version(13, 17)), "invalid", ""),
    "operators of version -1": (changed(_version(-1)), "invalid", ""),
    "a format from the future": (changed(_version(17, ir=10_000)), "invalid", ""),
    "convolution in 0 groups": (changed(_attribute("group", 0)), "invalid", ""),
    "convolution in -1 groups": (changed(_attribute("group", -1)), "invalid", ""),
    "convolution by steps of 0": (changed(_attribute("strides", [0, 0])), "invalid", ""),
    "convolution by steps of 2^62": (
        changed(_attribute("dilations", [1 << 62] * 2)),
        "invalid",
        "",
    ),
    "convolution of no kernel": (changed(_attribute("kernel_shape", [0, 0])), "invalid", ""),
    "convolution with padding below zero": (
        changed(_attribute("pads", [-(1 << 62)] * 4)),
        "invalid",
        "",
    ),
    "an attribute of another type": (changed(_attribute("group", "one")), "invalid", ""),
    "a recipe that is none": (_metadata("icecore.recipe", "{"), "recipe", ""),
    "a recipe of huge images": (
        _metadata("icecore.recipe", '{"height": 1e9, "width": 1, "resize": 1}'),
        "recipe",
        "",
    ),
    "a recipe 100,000 lists deep": (
        _metadata("icecore.recipe", '{"mean":' + "[" * 60_000),
        "recipe",
        "",
    ),
    "a recipe for another size": (
        _metadata("icecore.recipe", '{"height": 32, "width": 32, "resize": 32}'),
        "recipe",
        "",
    ),
    "a card that is none": (_metadata("icecore.card", "[]"), "recipe", ""),
}
