"""Codes made ready for fitting: once, for all folds, all C and both losses."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from icecore.probes.linear_probe import Array, CodeArray
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.features import Features
from icecore.probes.solving.plain import Plain
from icecore.probes.solving.row_blocks import RowBlocks
from icecore.probes.solving.standardising import Standardisation

ROTATED_UP_TO = 3000
"""Of min(n, d). An eigendecomposition grows with the cube: 3,000 take it some ten seconds of
a core, more than it then saves. Five folds x nine C of softmax, n = 1.5 d, 10 classes: 2.2 s of
a core against 3.2 unrotated at d = 1,000, 8.1 against 11.5 at 2,000."""

ROTATED_FOR_ONE = 400
"""Of min(n, d), for a single fit. A softmax of 2,000 x 1280 x 20 took 0.16 to 0.87 s of a core by a
Cholesky factor and 0.61 to 0.86 s by a rotation (C = 1e-4 to 1); of 300 x 1280 x 5 neither won."""


class Material(Protocol):
    """Standardised codes of n images in a form that fits are made of."""

    @property
    def standardisation(self) -> Standardisation: ...

    @property
    def features(self) -> Features: ...

    def unrotated(self, coefficients: Array) -> Array:
        """Return weights (m, d) over standardised codes for those (m, r) over the features.

        Without the last of `features`, the bias.
        """


def material_of(codes: CodeArray, standardisation: Standardisation | None = None) -> Material:
    """Return the form that suits the size of `codes` (n, d), standardised by themselves if not
    given."""
    if min(codes.shape) <= ROTATED_UP_TO:
        return Rotation.of(codes, standardisation)
    return RowBlocks.of(codes, standardisation)


def material_for_one_fit(codes: CodeArray) -> Material:
    """Return the form of `codes` (n, d) that suits a single fit, which no other shares."""
    if ROTATED_FOR_ONE < min(codes.shape) <= ROTATED_UP_TO:
        return Plain.of(codes)
    return material_of(codes)


def folded(material: Material, weights: Array) -> tuple[npt.NDArray[np.float32], Array]:
    """Return weights (m, d) float32 and bias (m,) on raw codes for `weights` (m, r)."""
    return material.standardisation.fold(material.unrotated(weights[:, :-1]), weights[:, -1])
