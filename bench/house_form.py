"""Does a file say the same once it is in house form, however it was written?

Every network of tests/data/networks in every way of writing that tests/house_variants.py
knows, and the real ones of ../shared/models. A way that onnxruntime itself does not
run, or that does not exist for a network, is not counted. Prints, a way: networks that
came home, the largest difference from the file by plain onnxruntime as a share of the
peak, those whose batch stayed fixed, those refused.

Usage: python bench/house_form.py
"""

import os
import platform
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from time import process_time

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import onnx  # noqa: E402 - tests are found through the path above

from house_runs import answers, apart, batch_of, one_by_one, photos  # noqa: E402
from house_variants import VARIANTS  # noqa: E402
from icecore.server.backbones.admission.house_form.house import bring_home  # noqa: E402
from icecore.server.errors import IcecoreError  # noqa: E402
from networks import FACTS, NAMES, network  # noqa: E402

KIND = {"float32": "float32", "float16": "half", "mixed": "half", "int8": "int8"}


def main() -> int:
    """Print both tables."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{date.today()}, {machine}\n")
    print("| written | came home | worst: float32 | half | int8 | stay one by one | refused |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for variant in VARIANTS:
        print(_row(variant), flush=True)
    print("\n| real network | MB | CPU-s | changes |\n| --- | --- | --- | --- |")
    for path in sorted((ROOT.parent / "shared" / "models").glob("*.onnx")):
        data, start = path.read_bytes(), process_time()
        house = bring_home(data)
        seconds = process_time() - start
        said = "; ".join(house.changes) or "none"
        print(f"| {path.stem} | {len(data) / 1e6:.1f} | {seconds:.1f} | {said} |")
    return 0


def _row(variant: str) -> str:
    n_home, worst = 0, dict.fromkeys(("float32", "half", "int8"), 0.0)
    alone: list[str] = []
    refused: list[str] = []
    for name, data in _written(variant):
        size = FACTS[name].size
        images = photos(batch_of(data) or 2, size)
        try:
            found = answers(data, images)
        except Exception:  # noqa: S112 - whatever the runtime finds to refuse it
            continue
        try:
            house = bring_home(data, (size, size))
        except IcecoreError as error:
            refused.append(f"{name} ({error.message})")
            continue
        n_home += 1
        kind = "half" if variant == "float16" else KIND[FACTS[name].form]
        worst[kind] = max(worst[kind], apart(one_by_one(house.graph, images), found))
        if batch_of(house.graph):
            alone.append(name)
    figures = " | ".join(f"{figure:.1e}" if figure else "" for figure in worst.values())
    return f"| {variant} | {n_home} | {figures} | {', '.join(alone)} | {', '.join(refused)} |"


def _written(variant: str) -> Iterator[tuple[str, bytes]]:
    for name in NAMES:
        source = bring_home(network(name)).graph if "opset" in variant else network(name)
        model = onnx.load_model_from_string(source)
        if variant in ("channels last", "open size") and FACTS[name].layout == "NHWC":
            continue
        try:
            model = VARIANTS[variant](model)
        except ValueError:
            continue  # an operator that was not there yet
        yield name, model.SerializeToString()


if __name__ == "__main__":
    raise SystemExit(main())
