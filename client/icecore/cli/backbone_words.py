"""A backbone in words, in JSON and in TOML, as several commands show it."""

import json
from typing import Any

import numpy as np

from icecore.cli.output import Column, print_line, print_table, printable
from icecore.client import Backbone, Fidelity, Recipe

_SOURCES = {
    "assumed": "ImageNet networks' usual one, which is assumed, as nothing tells",
    "given": "who added it",
}
"""How the server says where a recipe is from, and what is said here; all else as it is."""


def backbone_json(backbone: Backbone) -> dict[str, Any]:
    """Return what scripts read; the keys are kept."""
    card = backbone.card
    return {
        "name": backbone.name,
        "digest": backbone.digest,
        "layers": backbone.depths,
        "is_default": backbone.is_default,
        "create_time": backbone.create_time.isoformat(),
        "added_by": backbone.added_by,
        "file_sha256": backbone.file_sha256,
        "precision": backbone.precision,
        "graph_bytes": backbone.graph_bytes,
        "recipe": recipe_json(backbone.recipe),
        "recipe_source": backbone.recipe_source,
        "changes": list(backbone.changes),
        "card": {
            "source": card.source,
            "licence": card.licence,
            "trained_on": card.trained_on,
            "accuracy": card.accuracy,
            "notes": card.notes,
        },
        "derived_from": backbone.derived_from or None,
        "fidelity": None if backbone.fidelity is None else fidelity_json(backbone.fidelity),
    }


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    return {
        "height": recipe.height,
        "width": recipe.width,
        "resize": recipe.resize,
        "resize_rule": recipe.resize_rule,
        "resize_width": recipe.resize_width,
        "interpolation": recipe.interpolation,
        "channels": recipe.channels,
        "scale": recipe.scale,
        "mean": [_shortest(value) for value in recipe.mean],
        "std": [_shortest(value) for value in recipe.std],
        "layout": recipe.layout,
    }


def fidelity_json(fidelity: Fidelity) -> dict[str, Any]:
    return {
        "n_calibration_images": fidelity.n_calibration_images,
        "throughput_ratio": fidelity.throughput_ratio,
        "has_vnni": fidelity.has_vnni,
        "layers": [
            {"depth": one.depth, "name": one.name, "cosine": one.cosine} for one in fidelity.layers
        ],
        "probes": [
            {
                "set": one.set,
                "layer": one.layer,
                "n_images": one.n_images,
                "float32": one.float32_accuracy,
                "int8": one.int8_accuracy,
                "difference": {"low": one.low, "high": one.high},
            }
            for one in fidelity.probes
        ],
    }


def recipe_toml(recipe: Recipe) -> str:
    """Return the recipe as the file that `icecore backbones add --recipe` reads."""
    lines = []
    for key, value in recipe_json(recipe).items():
        # What JSON writes of texts, numbers and lists is TOML too.
        lines.append(f"{key} = {json.dumps(value)}\n")
    return "".join(lines)


def recipe_words(recipe: Recipe) -> str:
    """Return the recipe on one line, in the order in which it is done."""
    match recipe.resize_rule:
        case "squash":
            resized = f"{recipe.resize} x {recipe.resize_width or recipe.resize}"
        case rule:
            resized = f"the {rule} side to {recipe.resize}"
    scale = "1/255" if abs(recipe.scale * 255 - 1) < 1e-6 else f"{recipe.scale:.6g}"
    mean = ", ".join(f"{value:.4g}" for value in recipe.mean)
    std = ", ".join(f"{value:.4g}" for value in recipe.std)
    return (
        f"resize {resized} ({recipe.interpolation}), crop {recipe.height} x {recipe.width}, "
        f"{recipe.channels} x {scale}, mean {mean}, std {std}"
    )


def recipe_from(backbone: Backbone) -> str:
    """Return where the recipe was read, as the end of "recipe from"."""
    return _SOURCES.get(backbone.recipe_source, backbone.recipe_source)


def print_backbone(backbone: Backbone) -> None:
    """Print all that is known of a backbone, one line a fact."""
    card = backbone.card
    facts = [
        ("name", f"{backbone.name}{' (default)' if backbone.is_default else ''}"),
        ("digest", backbone.digest),
        ("layers", f"{backbone.depths} with a depth, {backbone.layers} in all"),
        ("precision", backbone.precision),
        ("size", f"{backbone.graph_bytes / 1e6:,.1f} MB"),
        ("recipe", recipe_words(backbone.recipe)),
        ("recipe from", recipe_from(backbone)),
        ("source", card.source),
        ("licence", card.licence),
        ("trained on", card.trained_on),
        ("accuracy", card.accuracy),
        ("notes", card.notes),
        ("added", backbone.create_time.astimezone().strftime("%Y-%m-%d %H:%M")),
        ("added by", backbone.added_by),
        ("file SHA-256", backbone.file_sha256),
        ("made of", backbone.derived_from),
        *(("changed", change) for change in backbone.changes),
    ]
    for name, value in facts:
        if value:
            print_line(printable(f"{name:13} {value}"))
    if backbone.fidelity is not None:
        print_line()
        print_fidelity(backbone.fidelity)


def print_fidelity(fidelity: Fidelity) -> None:
    """Print how int8 compares with float32."""
    print_line(
        f"int8 against float32: {fidelity.throughput_ratio:.2f} times the images a second on one "
        f"thread ({'with' if fidelity.has_vnni else 'without'} VNNI), calibrated on "
        f"{fidelity.n_calibration_images} images"
    )
    if fidelity.layers:
        worst = min(fidelity.layers, key=lambda one: one.cosine)
        last = fidelity.layers[-1]
        print_line(
            f"cosine of codes: {last.cosine:.4f} at the last layer, "
            f"{worst.cosine:.4f} at the worst ({worst.name!r})"
        )
    if fidelity.probes:
        columns = [Column("probe on"), Column("layer")]
        columns += [Column(name, is_number=True) for name in ("images", "float32", "int8")]
        columns += [Column("int8 minus float32 (95 %, paired)")]
        rows = [
            (
                one.set,
                one.layer,
                one.n_images,
                f"{100 * one.float32_accuracy:.1f} %",
                f"{100 * one.int8_accuracy:.1f} %",
                f"{100 * one.low:+.1f} to {100 * one.high:+.1f} points",
            )
            for one in fidelity.probes
        ]
        print_table(columns, rows)


def _shortest(value: float) -> float:
    """The shortest decimals that mean the same float32, which is what a recipe holds."""
    return float(str(np.float32(value)))
