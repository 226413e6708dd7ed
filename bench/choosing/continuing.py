"""How much faster is a probe that goes on from an earlier one than one from nothing?

Codes like a network's (a ReLU over mixed classes), 1,280 values an image. The earlier probe lacks
1 % or 10 % of the images, or a class. Against the fit alone, at the same C: both end within the
same gap, and their objectives are compared; `ours` has the reading of codes and weights in it. And
for what a tenant waits for, folds included: against `train` at this one layer, which chooses C
and preprocessing (of all layers it takes as many times longer).

Usage: python bench/choosing/continuing.py [--largest N] [--whole]
"""

import argparse
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from icecore.probes.continuing import continued
from icecore.probes.fitting import Fit, fit
from icecore.probes.linear_probe import LinearProbe, ProbeKind
from icecore.probes.selection import train
from icecore.probes.solving.plain import Plain
from icecore.probes.starting import fit_from

D = 1280
SIZES = ((300, 5), (2_000, 20), (10_000, 100))
CS = {ProbeKind.SOFTMAX: 1e-3, ProbeKind.SVM: 1e-4}
"""What such codes want, of `selection.DEFAULT_CS`."""


def made(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes (n, D) float16 and classes (n,), shuffled."""
    random = np.random.default_rng(0)
    y = random.permutation(np.arange(n) % k)
    mixing = random.standard_normal((256, D)) * np.geomspace(0.19, 0.0095, 256)[:, None]
    hidden = random.standard_normal((n, 256)) + 0.35 * random.standard_normal((k, 256))[y]
    codes = hidden @ mixing + 0.3 * random.standard_normal((n, D)) - 0.3
    return np.maximum(codes, 0.0).astype(np.float16), y


def names(y: np.ndarray) -> list[str]:
    return [f"{label:03}" for label in y]


T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = perf_counter()
    return work(), perf_counter() - began


def from_codes(
    base: LinearProbe,
    codes: np.ndarray,
    y: np.ndarray,
    classes: tuple[str, ...],
    C: float,
) -> Fit:
    return fit_from(base, Plain.of(codes), y, classes, C=C)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10_000, metavar="N")
    parser.add_argument("--whole", action="store_true", help="Against the whole training too.")
    asked = parser.parse_args()
    print("     n   k  kind     added    from nothing    ours  ratio  dF/F      with folds  train")
    for n, k in SIZES:
        if n > asked.largest:
            continue
        codes, y = made(n, k)
        for kind, C in CS.items():
            whole = (
                timed(partial(train, {"x": codes}, names(y), kind=kind)) if asked.whole else None
            )
            cold, cold_s = timed(partial(fit, codes, y, k, kind=kind, C=C))
            for added, rows in (
                ("1 %", np.arange(n - n // 100)),
                ("10 %", np.arange(n - n // 10)),
                ("a class", np.flatnonzero(y < k - 1)),
            ):
                known = int(y[rows].max()) + 1
                before = fit(codes[rows], y[rows], known, kind=kind, C=C)
                classes = tuple(names(np.arange(known)))
                base = LinearProbe(kind, classes, before.weights, before.bias, "tap")
                wanted = tuple(names(np.arange(k)))
                warm, warm_s = timed(partial(from_codes, base, codes, y, wanted, C))
                _, both_s = timed(partial(continued, base, {"x": codes}, names(y), C=C))
                off = abs(warm.objective / cold.objective - 1.0)
                print(
                    f"{n:6} {k:3}  {kind.value:8} {added:8} {cold_s:10.2f} s {warm_s:6.2f} s "
                    f"{cold_s / warm_s:5.1f}  {off:.0e} {both_s:10.2f} s"
                    + ("" if whole is None else f" {whole[1]:6.1f} s, {whole[1] / both_s:.0f} x"),
                    flush=True,
                )


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):
        main()
