"""The file is there whole or not at all."""

import os
from pathlib import Path

import pytest

import advices
from icecore.cli import advice_report
from icecore.cli.advice_report.page import page


def test_the_file_is_the_page_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("what was there")
    advice_report.write(advices.blood(), out)
    assert out.read_text(encoding="utf-8") == page(advices.blood())
    assert list(tmp_path.iterdir()) == [out]


def test_who_reads_the_file_meanwhile_reads_one_report_not_two(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("what was there")
    with out.open() as reader:
        advice_report.write(advices.blood(), out)
        assert reader.read() == "what was there"


def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("what was there")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        advice_report.write(advices.blood(), out)
    assert out.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [out]


def test_a_name_that_is_not_utf_8_does_not_stop_the_report(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    advice_report.write(advices.blood(collection_id=os.fsdecode(b"caf\xe9")), out)
    assert "caf\\udce9" in out.read_text(encoding="utf-8")
