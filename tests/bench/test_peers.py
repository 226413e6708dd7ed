"""How the comparison with peers is told, and what it asks them over the inference protocol."""

import math
import struct

import numpy as np
import pytest

from load.outcome import Outcome
from peers import inference_protocol as protocol
from peers.cells import BARE, Cells, Place, behind, has_rivals, table

PLACE = Place("network", "tensor", 8)


def _outcome(cpu_ms: float, ms: list[float], ends: list[str] | None = None) -> Outcome:
    n = len(ms)
    seconds = sum(ms) / 1e3
    return Outcome(seconds, 0.0, cpu_ms * n / 1e3, [0.0] * n, ms, [0.0] * n, ends or ["OK"] * n)


def _cells(**outcomes: Outcome) -> Cells:
    cells = Cells()
    for server, outcome in outcomes.items():
        cells.add(PLACE, server, outcome)
    return cells


def test_ours_is_first_where_nobody_takes_less() -> None:
    cells = _cells(icecore=_outcome(5.0, [9.0]), other=_outcome(5.0, [9.0]))
    assert behind(cells, PLACE) == []


def test_each_figure_in_which_another_takes_less_is_told() -> None:
    cells = _cells(
        icecore=_outcome(5.0, [9.0, 9.0, 20.0]),
        quick=_outcome(8.0, [10.0, 10.0, 11.0]),
        cheap=_outcome(4.5, [10.0, 10.0, 30.0]),
    )
    assert behind(cells, PLACE) == [
        "network, tensor, 8 at once: CPU-ms 5.00, cheap 4.50",
        "network, tensor, 8 at once: p99 ms 20.00, quick 11.00",
    ]


def test_the_network_alone_and_servers_without_an_answer_are_no_rivals() -> None:
    failed = _outcome(1.0, [1.0], ["BROKEN"])
    cells = _cells(icecore=_outcome(5.0, [9.0]), broken=failed, **{BARE: _outcome(1.0, [1.0])})
    assert has_rivals(cells, PLACE)
    assert not has_rivals(_cells(icecore=failed, **{BARE: failed}), PLACE)
    assert math.isnan(cells.figures(PLACE)["broken"].p99)
    assert behind(cells, PLACE) == []


def test_without_an_answer_of_ours_all_others_are_first() -> None:
    cells = _cells(icecore=_outcome(1.0, [1.0], ["BROKEN"]), other=_outcome(8.0, [10.0]))
    assert len(behind(cells, PLACE)) == 2
    unmeasured = behind(_cells(other=_outcome(8.0, [10.0])), PLACE)
    assert unmeasured == ["network, tensor, 8 at once: icecore was not measured"]


def test_rounds_are_told_together_and_failures_beside() -> None:
    cells = _cells(icecore=_outcome(5.0, [10.0] * 10))
    cells.add(PLACE, "icecore", _outcome(7.0, [30.0] * 10, ["OK"] * 8 + ["TIMEOUT"] * 2))
    cells.add_memory("network", "icecore", 100.0)
    cells.add_memory("network", "icecore", 120.0)
    figures = cells.figures(PLACE)["icecore"]
    assert figures.rate == pytest.approx(18 / 0.4)
    assert figures.cpu_ms == pytest.approx(120 / 18)
    assert (figures.p50, figures.p99, figures.memory_mb) == (10.0, 30.0, 120.0)
    assert figures.failures == {"TIMEOUT": 2}
    assert "TIMEOUT" in "\n".join(table(cells, PLACE))


def test_what_is_asked_over_http_is_json_and_the_bytes_behind_it() -> None:
    data = np.arange(12, dtype=np.float32).tobytes()
    head = protocol.http_head("FP32", (1, 3, 2, 2), len(data))
    assert dict(protocol.http_headers(head))["Inference-Header-Content-Length"] == str(len(head))
    answer = b'{"outputs":[{"name":"codes","parameters":{"binary_data_size":48}}]}' + data
    assert protocol.http_output(answer) == data


def test_an_element_is_its_length_and_its_bytes() -> None:
    packed = protocol.element(b"abc")
    assert packed == struct.pack("<I", 3) + b"abc"
    assert protocol.first_element(packed + protocol.element(b"more")) == b"abc"
