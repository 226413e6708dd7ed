"""The small networks of tests/data/networks: real families' graphs, random weights.

    network("resnet18-int8")  bytes of an ONNX file
    FACTS["vit"].n_blocks     what is known of one from its definition

tests/export/make_networks.py writes them from the libraries' own definitions; `make test-export`
holds that they compute what those compute. None is in icecore's house form.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "networks"


@dataclass(frozen=True)
class NetworkFacts:
    """What a definition says of its file.

    `exporter`: "script" and "dynamo" are torch's two, "written" is node by node. `batch`: "open" or
    "fixed". `head`: "logits" or "probabilities", the only output. `form`: "float32", "float16",
    "mixed" (float16 inside only) or "int8" (QDQ). `size`: pixels, height and width. `layout`:
    "NCHW" or "NHWC", the input's. `n_thresholds`: calls of ReLU and ReLU6; `n_blocks`: residual or
    transformer blocks of a network that has other activations, else 0.
    """

    family: str
    exporter: str
    opset: int
    batch: str
    head: str
    form: str
    size: int
    layout: str
    n_thresholds: int
    n_blocks: int


FACTS = {
    name: NetworkFacts(**facts)
    for name, facts in json.loads((FOLDER / "networks.json").read_text()).items()
}

NAMES = tuple(FACTS)


def network(name: str) -> bytes:
    """Return the ONNX file of that name."""
    return (FOLDER / f"{name}.onnx").read_bytes()
