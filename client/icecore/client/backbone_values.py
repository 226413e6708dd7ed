"""What calls about backbones take and give: frozen values."""

from dataclasses import dataclass
from datetime import datetime

from icecore.client.input_values import ImageInput


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image becomes the network's input.

    `resize` is in pixels before the centre crop to `height` x `width`: the shorter
    side with `resize_rule` "shorter", the longer one with "longer" (the rest is
    filled with the mean colour), the height with "squash", whose width is
    `resize_width` (0: the same). Pixels of 0..255 are multiplied by `scale`, then
    normalised. `layout` is the file's own, "NCHW" or "NHWC"; tensors in calls are
    (3, h, w) for both.
    """

    height: int
    width: int
    resize: int
    interpolation: str = "bicubic"
    channels: str = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale: float = 1 / 255
    resize_rule: str = "shorter"
    resize_width: int = 0
    layout: str = "NCHW"


@dataclass(frozen=True, slots=True)
class Card:
    """Where a backbone comes from; `accuracy` as published."""

    source: str = ""
    licence: str = ""
    trained_on: str = ""
    notes: str = ""
    accuracy: str = ""


@dataclass(frozen=True, slots=True)
class LayerFidelity:
    """`cosine` is the mean over images between average-pooled codes."""

    name: str
    depth: int | None
    cosine: float


@dataclass(frozen=True, slots=True)
class ProbeFidelity:
    """A probe trained anew on either network's codes, over the same folds.

    `low` and `high` are the paired 95 % interval of int8 minus float32.
    """

    set: str
    layer: str
    n_images: int
    float32_accuracy: float
    int8_accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """An int8 backbone against its float32 one; throughput is of one thread, whole network."""

    n_calibration_images: int
    throughput_ratio: float
    has_vnni: bool
    layers: tuple[LayerFidelity, ...]
    probes: tuple[ProbeFidelity, ...]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A frozen network.

    `depths` is the number of layers that have a depth, so also the largest one;
    `layers` counts those without a depth too. `file_sha256` is of the file as it
    was given, `graph_bytes` of what is stored. `changes` say what was done to the
    file to make it run here. `derived_from` and `fidelity` are an int8 one's.
    """

    name: str
    digest: str
    recipe: Recipe
    card: Card
    depths: int
    create_time: datetime
    is_default: bool
    added_by: str = ""
    file_sha256: str = ""
    precision: str = "float32"
    graph_bytes: int = 0
    layers: int = 0
    derived_from: str = ""
    fidelity: Fidelity | None = None
    recipe_source: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One place where codes can be read.

    `depth` is None where a layer has none; `params` and `macs` count from the
    input to here. `receptive_field` is a side in input pixels. `prefix_tokens` come before those of
    the map. `role` is "block", "logits", "probabilities" or "".
    """

    name: str
    depth: int | None
    channels: int
    height: int
    width: int
    stride: int
    thresholded: bool
    dims: int
    params: int
    macs: int
    op: str
    receptive_field: int = 0
    prefix_tokens: int = 0
    role: str = ""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and what is on it, of the data set `set`; errors call it `name`."""

    image: ImageInput
    label: str
    set: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class RecipeTrial:
    """A recipe tried on photos; `change` is what differs from the stored one, "" for itself.

    `accuracy` is None where the network's classes are not known, `confidence`
    (mean probability of the class named first) where it has none. `agreement` is
    the held-out accuracy of a probe on the last codes, None where the labels teach none.
    """

    change: str
    recipe: Recipe
    accuracy: float | None
    confidence: float | None
    agreement: float | None
    n_images: int = 0


@dataclass(frozen=True, slots=True)
class RecipeReport:
    """`trials` has the stored recipe first, then the others, best first.

    `suggested` is the one that fits clearly better, None where none does.
    """

    n_images: int
    trials: tuple[RecipeTrial, ...]
    suggested: RecipeTrial | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Checking:
    """How far a recipe check is, `progress` 0 to 1; `report` at its end."""

    progress: float
    report: RecipeReport | None = None


@dataclass(frozen=True, slots=True)
class Quantising:
    """How far a quantisation is, `progress` 0 to 1; `backbone` at its end."""

    stage: str
    progress: float
    backbone: Backbone | None = None
