"""From a name to a checked ONNX file: load, trace, bring home, check, label."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import onnx

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.card import Card
from icecore.server.backbones.exporting import of_module, of_timm, of_torchvision
from icecore.server.backbones.exporting.checking import Comparison, check
from icecore.server.backbones.exporting.mistakes import NotExportable, SpecMistake
from icecore.server.backbones.exporting.subject import Subject, Wish
from icecore.server.backbones.exporting.tracing import trace
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import layers_of
from icecore.server.backbones.recipes.metadata import RECIPE_KEY
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.recipes.sources import assumed, to_metadata
from icecore.server.errors import IcecoreError

LIBRARIES = {"torchvision": of_torchvision.subject, "timm": of_timm.subject}


@dataclass(frozen=True, slots=True)
class Exported:
    """`recipe` is None where the network did not say how it is fed; `depths` are layers' names."""

    file: bytes
    sha256: str
    recipe: Recipe | None
    card: Card
    height: int
    width: int
    is_batch_open: bool
    n_layers: int
    depths: tuple[str, ...]
    comparison: Comparison


def export(spec: str, wish: Wish, progress: Callable[[str], None]) -> Exported:
    """Return the file of `torchvision:NAME`, `timm:NAME` or `MODULE:CALLABLE`.

    Raises:
        ExportError: whatever stands in the way, by its leaf.
    """
    subject = load(spec, wish, progress)
    network = subject.network.float().eval()
    progress(f"tracing images of {subject.height} x {subject.width}")
    traced = trace(network, subject.height, subject.width)
    if not traced.is_batch_open:
        progress("the network fixes its batch: images will run one by one")
    try:
        house = bring_home(traced.graph, (subject.height, subject.width))
        graph = Graph(house.graph)
        layers = layers_of(graph)
    except IcecoreError as error:
        raise NotExportable(f"what torch's exporter wrote is refused: {error}") from error
    depths = tuple(layer.name for layer in layers if layer.depth is not None)
    progress(f"comparing {len(layers)} layers with torch")
    comparison = check(house.graph, [layer.name for layer in layers], depths, traced, network)
    file = _labelled(house.graph, subject)
    return Exported(
        file=file,
        sha256=hashlib.sha256(file).hexdigest(),
        recipe=subject.recipe,
        card=subject.card,
        height=subject.height,
        width=subject.width,
        is_batch_open=traced.is_batch_open,
        n_layers=len(layers),
        depths=depths,
        comparison=comparison,
    )


def load(spec: str, wish: Wish, progress: Callable[[str], None]) -> Subject:
    """Return the network that a name stands for."""
    kind, colon, name = spec.partition(":")
    if not colon or not kind or not name:
        raise SpecMistake(
            f"{spec!r} names no network: it must be torchvision:NAME, timm:NAME or MODULE:CALLABLE"
        )
    progress(f"loading {spec}")
    if kind in LIBRARIES:
        return LIBRARIES[kind](name, wish)
    return of_module.subject(kind, name, wish)


def _labelled(graph: bytes, subject: Subject) -> bytes:
    """The file with recipe and card in its metadata; without a recipe, the card alone."""
    model = onnx.ModelProto.FromString(graph)
    recipe = subject.recipe or assumed((subject.height, subject.width))
    told = to_metadata(recipe, subject.card)
    if subject.recipe is None:
        told.pop(RECIPE_KEY)
    onnx.helper.set_model_props(model, told)
    model.producer_name = "icecore"
    return bytes(model.SerializeToString(deterministic=True))
