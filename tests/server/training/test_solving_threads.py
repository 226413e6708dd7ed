"""How many threads a training's fits use at once."""

import pytest

from icecore.server.training import solving_threads
from icecore.server.training.solving_threads import MOST, threads_for


@pytest.mark.parametrize(("cores", "wanted"), [(1, 1), (2, 2), (64, MOST)])
def test_a_large_training_uses_the_cores_there_are(
    cores: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solving_threads, "usable_cores", lambda: cores)
    assert threads_for([(10_000, 1280)], 100) == wanted
    assert threads_for([(10, 3), (2000, 1280)], 20) == wanted, "the largest layer counts"
    assert threads_for([(1000, 320), (1000, 1280)], 10) == 1, "a small one is done by one"
    assert threads_for([(1000, 320)] * 20, 10, is_joined=True) == wanted, "joined they are one"
    assert threads_for([(1000, 320)] * 20, 10) == 1
