"""Newton steps by conjugate gradients: as near the solution as was asked."""

import numpy as np
import pytest

from icecore.probes.linear_probe import ProbeKind
from icecore.probes.solving import steps
from icecore.probes.solving.newton import SINGLE_FORCING
from step_problems import Made


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("C", [1e-12, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("forcing", [0.1, 1e-3, 1e-9])
def test_a_step_leaves_no_more_of_the_gradient_than_was_asked(
    kind: ProbeKind, k: int, C: float, forcing: float
) -> None:
    """Products in float32 reach 1e-3 with digits to spare; below they are made in float64."""
    made = Made(kind, k, C)
    asked = np.full(made.loss.n_problems, forcing)
    step, is_solved = made.steps.iterated(
        C,
        made.at,
        made.gradient,
        made.invert,
        forcing=asked,
        group=made.loss.group,
        dtype=np.dtype(np.float32 if forcing >= SINGLE_FORCING else np.float64),
    )
    assert (made.share_left(step)[is_solved] <= 1.01 * forcing).all()
    assert is_solved.all() or made.steps.exact is not None


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("budget", [1, 2])
def test_a_step_tells_which_problems_it_left_open(
    kind: ProbeKind, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MIN_INNER", 0)
    monkeypatch.setattr(steps, "MAX_INNER", budget)
    made = Made(kind, 5, 1.0)
    asked = np.full(made.loss.n_problems, 1e-2)
    step, is_solved = made.steps.iterated(
        1.0,
        made.at,
        made.gradient,
        made.invert,
        forcing=asked,
        group=made.loss.group,
        dtype=np.dtype(np.float32),
    )
    assert not is_solved.all()
    np.testing.assert_array_equal(made.share_left(step) <= 1e-2, is_solved)
