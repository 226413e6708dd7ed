"""An advice on a terminal: what it is worth stands beside what to do."""

import pytest

import advices
from icecore.cli.advice_report.words import standing
from icecore.cli.advice_report.words.glossary import CAUTION
from icecore.cli.advice_report.words.stance import headline
from icecore.cli.advice_text import WIDTH, print_advice
from icecore.client.advice_values import VerdictKind


@pytest.mark.parametrize("kind", VerdictKind)
def test_what_is_promised_is_bounded_before_anything_is_to_be_done(
    kind: VerdictKind, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = advices.blood(verdict=advices.verdict(kind))
    print_advice(advice)
    lines = capsys.readouterr().out.splitlines()
    before = lines[: lines.index("What to do:")]
    assert " ".join(before).strip() == f"{headline(advice)} {standing.told(advice)} {CAUTION}"
    assert max(map(len, before)) <= WIDTH
