"""`timm:NAME` or `timm:NAME.TAG`: timm's networks and their `pretrained_cfg`."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from icecore.server.backbones.card import Card
from icecore.server.backbones.exporting import libraries
from icecore.server.backbones.exporting.mistakes import SpecMistake, WeightsUnavailable
from icecore.server.backbones.exporting.subject import Subject, Wish, resized
from icecore.server.backbones.recipes.timm_cfg import card_of_timm, recipe_of_timm

_SETS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "laion2b": "LAION-2B",
    "openai": "OpenAI's image and text pairs",
    "jft": "JFT",
    "lvd142m": "LVD-142M",
}
"""What timm's tags call the sets that weights were trained on."""


def subject(name: str, wish: Wish) -> Subject:
    """Return a network of timm's.

    Raises:
        SpecMistake: no such network or weights, or it takes no input of that size.
        WeightsUnavailable: its loader did not bring them.
        LibraryMissing: timm is not installed.
    """
    timm = libraries.timm()
    full = f"{name}.{wish.weights}" if wish.weights else name
    architecture, _, tag = full.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
        raise SpecMistake(f"timm has no network {architecture!r}{hint}")
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise SpecMistake(f"timm has no weights {tag!r} for {architecture!r}, but {tags!r}")
    network = _made(timm, full, wish)
    cfg = json.loads(json.dumps(dict(network.pretrained_cfg)))
    size = (wish.side, wish.side) if wish.side else None
    what = f"the pretrained_cfg of {full!r}"
    recipe = resized(recipe_of_timm(cfg, size, what), wish.side)
    return Subject(network, recipe.height, recipe.width, recipe, _card(full, cfg, wish, what))


def _made(timm: Any, name: str, wish: Wish) -> Any:
    # Transformers are built for one size; other networks do not know the argument.
    more = {"img_size": wish.side} if wish.side else {}
    for arguments in (more, {}):
        try:
            return timm.create_model(name, pretrained=not wish.is_random, **arguments)
        except TypeError:
            if not arguments:
                raise
        except (OSError, RuntimeError) as error:
            raise WeightsUnavailable(
                f"timm did not bring the weights of {name!r}: {str(error).rstrip('. ')}; "
                "--random exports it with random ones"
            ) from error
    raise AssertionError("the second try has no arguments to refuse")


def _card(name: str, cfg: Mapping[str, Any], wish: Wish, what: str) -> Card:
    if wish.is_random:
        return Card(source=f"timm:{name}, random weights", trained_on="nothing")
    told = card_of_timm(cfg, what)
    tag = str(cfg.get("tag", ""))
    return Card(
        source=f"timm:{cfg.get('architecture', name)}.{tag}, {told.source}",
        licence=told.licence,
        trained_on=trained_on(tag),
        notes=f"paper {cfg['paper_ids']}" if cfg.get("paper_ids") else "",
    )


def trained_on(tag: str) -> str:
    """Return what a tag says: `augreg_in21k_ft_in1k` is ImageNet-21k, fine-tuned on ImageNet-1k."""
    steps = [
        " and ".join(words for short, words in _SETS.items() if short in step.split("_"))
        for step in tag.split("_ft_")
    ]
    return ", fine-tuned on ".join(step for step in steps if step) or "not stated"
