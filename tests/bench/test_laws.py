"""What the benches judge by: bases, verdicts and flags, of figures that are given."""

import argparse
import json
from pathlib import Path

import pytest

import embed_overhead
from code_cache import Counts, are_hits
from embed_overhead import Side
from fairness import Verdict
from icecore.v1 import codes_pb2
from load import icecore_server
from load.bare_loop import Loop, Ran, choices
from load.icecore_server import Icecore
from load.outcome import Outcome
from overload import flags_of_server


def test_the_bare_loops_are_the_honest_ways_each_once() -> None:
    assert [str(one) for one in choices(4, 1.0)] == [
        "4 x 1 thread",
        "1 x 4 threads, spinning",
        "1 x 4 threads, not spinning",
        "1 x 1 thread",
    ]
    assert choices(1, 1.0) == [Loop(1, 1, 1.0)]


def _side(n_cores: int) -> Side:
    """Without a server or anything else that runs."""
    return Side(None, None, None, None, n_cores, 1.0)  # type: ignore[arg-type]


def _ran(cpu_ms: float, rate: float, p50: float) -> list[Ran]:
    return [Ran(cpu_ms, rate, [p50])]


@pytest.mark.parametrize("n_cores", [1, 2])
def test_every_base_is_among_the_loops_that_ran(n_cores: int) -> None:
    run = _side(n_cores)
    run.ran = {loop: _ran(1.0, 1.0, 1.0) for loop in choices(n_cores, 1.0)}
    assert run.each()
    assert run.wide(spins=True)
    assert run.wide(spins=False)


@pytest.mark.parametrize(
    ("spinning", "still", "verdict"),
    [(5.0, 6.5, "MISSED"), (60.0, 5.9, "MISSED"), (6.1, 6.5, "PASS")],
)
def test_a_lone_request_is_judged_by_the_default_and_by_the_loop_that_does_not_spin(
    spinning: float, still: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _side(2)
    run.ran = {
        Loop(1, 2, 1.0, spins=True): _ran(10.0, 200.0, spinning),
        Loop(1, 2, 1.0, spins=False): _ran(9.0, 150.0, still),
    }
    run.came = {("float32", 1): [Outcome(ms=[9.0], ends=["OK"])]}
    embed_overhead.lone(run)
    said = capsys.readouterr().out
    assert f"p50 {9 - spinning:.2f} ms above bare spinning (the default)" in said
    assert f"{9 - still:.2f} not spinning, at most 3.0" in said
    assert said.strip().endswith(verdict)


def test_the_bases_are_those_that_are_hardest_to_meet() -> None:
    each, spinning, still, one = choices(2, 1.0)
    run = _side(2)
    run.ran = {
        each: _ran(6.0, 180.0, 11.0),
        spinning: _ran(10.0, 200.0, 5.0),
        still: _ran(7.0, 150.0, 6.5),
        one: _ran(5.0, 100.0, 10.0),
    }
    assert run.best() == spinning
    assert run.cheaper_wide() == run.ran[still]


@pytest.mark.parametrize(
    ("counts", "holds"),
    [
        (Counts(passes=1, hit=70, shared=29, miss=1, unkept=0), True),
        (Counts(passes=1, hit=0, shared=99, miss=0, unkept=1), True),
        (Counts(passes=1, hit=99, shared=0, miss=1, unkept=0), False),
        (Counts(passes=2, hit=90, shared=8, miss=1, unkept=1), False),
        (Counts(passes=1, hit=70, shared=28, miss=1, unkept=0), False),
    ],
    ids=["joined or late", "first sight of a tensor", "none joined", "run twice", "one is missing"],
)
def test_a_hundred_are_one_pass_only_if_somebody_joined_it(counts: Counts, holds: bool) -> None:
    assert counts.is_single_flight(100) is holds


def _answer(codes: bytes, n_cached: int) -> codes_pb2.EmbedResponse:
    answer = codes_pb2.EmbedResponse()
    answer.codes.add().data = codes
    answer.timings.n_cached = n_cached
    return answer


def test_one_answer_that_differs_or_is_no_hit_is_found_among_all() -> None:
    first, hit = _answer(b"abcd", 0), _answer(b"abcd", 1)
    assert are_hits(first, [hit, hit])
    assert not are_hits(first, [hit, _answer(b"abce", 1), hit])
    assert not are_hits(first, [hit, _answer(b"abcd", 0), hit])


def _calls(n_ok: int, n_refused: int, ms: float = 10.0) -> Outcome:
    ends = ["OK"] * n_ok + ["RESOURCE_EXHAUSTED"] * n_refused
    return Outcome(ms=[ms] * len(ends), ends=ends)


def test_fairness_counts_the_victims_calls_that_were_not_answered() -> None:
    assert Verdict.of(_calls(200, 0), _calls(199, 1)).is_met, "0.5 % are allowed"
    assert not Verdict.of(_calls(200, 0), _calls(198, 2)).is_met
    assert not Verdict.of(_calls(198, 2), _calls(200, 0)).is_met
    assert not Verdict.of(_calls(200, 0), _calls(200, 0, ms=12.1)).is_met
    assert not Verdict.of(_calls(0, 0), _calls(0, 0)).is_met, "nothing seen is nothing shown"


def test_the_bound_that_overload_judges_by_is_the_servers() -> None:
    asked = argparse.Namespace(flags=["--max-queue-ms", "7", "--cache-mb", "0"], bound_ms=250)
    assert flags_of_server(asked)[-2:] == ["--max-queue-ms", "250"], "the last one holds"


PAGE = b"""# HELP icecore_cache_images_total Images looked up in the code cache.
icecore_cache_images_total{outcome="hit"} 7
icecore_cache_images_total{outcome="miss"} 2
icecore_cache_images_totals 100
"""


class Page:
    """Of metrics, wherever it is asked for."""

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def read(self) -> bytes:
        return PAGE


def test_a_counter_is_read_whole_or_by_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icecore_server, "urlopen", lambda *_, **__: Page())
    server = Icecore(None, "nowhere", "nowhere", tmp_path)  # type: ignore[arg-type]
    assert server.counted("icecore_cache_images_total") == 9
    assert server.counted("icecore_cache_images_total", outcome="hit") == 7
    assert server.counted("icecore_cache_images_total", outcome="shared") == 0


def test_plans_are_those_that_the_server_kept(tmp_path: Path) -> None:
    server = Icecore(None, "nowhere", "nowhere", tmp_path)  # type: ignore[arg-type]
    assert server.plans() == []
    kept = {"version": 1, "plans": {"digest": {"place": "cpu", "lone_threads": 2, "batch": 4}}}
    (tmp_path / "plans.json").write_text(json.dumps(kept))
    assert [plan["batch"] for plan in server.plans()] == [4]
