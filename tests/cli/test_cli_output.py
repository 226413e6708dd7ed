"""What is printed stays on its line, whatever names hold."""

import io
import json

import pytest

from icecore.cli.output import Column, one_line, print_json, print_table, printable
from icecore.cli.progress import in_words, working
from icecore.cli.waits import waits
from icecore.client import Reason, Waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_for_a_program_is_plain_and_never_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(
        [Column("name"), Column("n", is_number=True)],
        [("[red]x[/red]", 1), ("long" * 100, 20_000)],
        marked=0,
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "n"],
        ["[red]x[/red]", "1"],
        ["long" * 100, "20000"],
    ]
    assert lines[1].endswith("    1"), "numbers stand to the right"


def test_a_narrow_terminal_breaks_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown can be copied; the terminal wraps the line, not we the names."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    print_table([Column("layer"), Column("n", is_number=True)], [("blocks.13.expand" * 2, 7)])
    assert f"{'blocks.13.expand' * 2}  7\n" in terminal.getvalue()


def test_wide_characters_stay_in_their_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("name"), Column("x")], [("蚂蚁", "1"), ("ants", "2")])
    assert capsys.readouterr().out == "name  x\n蚂蚁  1\nants  2\n"


def test_an_empty_table_has_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("name"), Column("layers")], [])
    assert capsys.readouterr().out.split() == ["name", "layers"]


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[31mred", "bell\a", "a\r\nb\tc", "\x9b31m", "\u202eabc"]
)
def test_no_name_moves_a_terminals_cursor(text: str) -> None:
    for shown in (printable(text), one_line(text)):
        assert shown.isprintable()


@pytest.mark.parametrize("text", ["ant", "Ameise (rot) ß", "蚂蚁", "a  b"])
def test_ordinary_names_are_left_alone(text: str) -> None:
    assert printable(text) == text


def test_json_is_one_line_of_ascii_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"path": "蚂蚁/\udcff\n.jpg", "score": 0.1, "label": None}
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out) == value


def test_json_never_holds_what_json_has_not() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"score": float("nan")})


def lines_of_long_work(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, steps: int) -> str:
    monkeypatch.setattr("icecore.cli.progress.SHORT_S", 0.0)
    with working("adding", steps, unit="images", stream=stream) as work:
        for _ in range(steps):
            work.advance()
    return stream.getvalue()


def test_elsewhere_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines_of_long_work(monkeypatch, io.StringIO(), 3)
    assert said.startswith("adding: 3 images in ")
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_one_image_is_not_called_images(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of_long_work(monkeypatch, io.StringIO(), 1).startswith("adding: 1 image in ")
    assert " image " in lines_of_long_work(monkeypatch, Terminal(), 1)


def test_short_work_has_no_plain_line() -> None:
    stream = io.StringIO()
    with working("adding", 3, unit="images", stream=stream) as work:
        work.advance(3)
    assert stream.getvalue() == ""


def test_a_terminal_that_cannot_move_its_cursor_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert lines_of_long_work(monkeypatch, Terminal(), 3).startswith("adding: 3 images in ")


def test_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icecore.cli.progress.LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    with working("training", 1.0, stream=stream) as work:
        work.reach(0.25, "choosing\n")
    assert stream.getvalue().splitlines()[0] == "training: 25% (choosing)"


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


def test_a_line_has_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what was done since it began: what was there before took no time."""
    clock = Clock()
    monkeypatch.setattr("icecore.cli.progress.time", clock)
    stream = io.StringIO()
    with working("embedding", 10_000, unit="images", done=4_000, stream=stream) as work:
        for _ in range(2):
            clock.now += 10.0
            work.advance(1_000)
        clock.now += 40.0
        work.advance(4_000)
    assert stream.getvalue().splitlines() == [
        "embedding: 5,000 of 10,000 images (50%), 100 images/s, 50 s left",
        "embedding: 6,000 of 10,000 images (60%), 100 images/s, 40 s left",
        "embedding: 10,000 of 10,000 images (100%), 100 images/s, 0 s left",
        "embedding: 6,000 images in 60.0 s, 100 images/s",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_a_time_is_said_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


AWAY = Waiting("UNAVAILABLE", "no server answers at 'x:1'", seconds=0.2, most_s=60.0)
SLOWED = Waiting(Reason.RATE_LIMITED, "9 more would pass the quota", seconds=0.2)
FULL = Waiting(Reason.OVERLOADED, "the queue is full", seconds=0.2)


def test_a_server_that_is_away_is_told_of_once_until_it_is_back() -> None:
    stream = io.StringIO()
    with working("embedding", 100, unit="images", stream=stream) as work:
        work.advance(60)
        for told in (AWAY, AWAY, FULL, SLOWED, SLOWED):
            waits(told)
        work.advance(20)
        waits(AWAY)
        work.advance(20)
    away = "no server answers at 'x:1'; waiting up to 60 s for it"
    assert stream.getvalue().splitlines() == [
        f"embedding: 60 of 100 images (60%); {away}",
        "embedding: slowed by the tenant's quota of images a second",
        f"embedding: 80 of 100 images (80%); {away}",
    ]


def test_a_bar_tells_no_rate_and_no_time_left_while_the_server_is_away() -> None:
    stream = Terminal()
    work = working("embedding", 9, unit="images", stream=stream)
    with pytest.raises(KeyboardInterrupt), work:
        _interrupted_wait()
    said = stream.getvalue()
    assert "embedding: no server answers at 'x:1'; waiting up to 60 s for it" in said
    last = said[said.rindex("embedding: waiting") :]
    assert "0/9" in last
    assert ":--" not in last, "the time left"
    with working("embedding", 9, unit="images", stream=stream) as work:
        waits(AWAY)
        work.advance(9)
    last = stream.getvalue().rsplit("embedding", 1)[1]
    assert ("waiting" in last, "9/9" in last) == (False, True)


def _interrupted_wait() -> None:
    waits(AWAY)
    raise KeyboardInterrupt


def test_without_work_a_wait_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    told = Waiting("UNAVAILABLE", "no server answers at 'y:2'", seconds=0.2, most_s=59.7)
    for one in (told, told, SLOWED):
        waits(one)
    assert capsys.readouterr().err == "no server answers at 'y:2'; waiting up to 60 s for it\n"


def test_work_that_is_aside_says_nothing_when_it_is_quick() -> None:
    stream = io.StringIO()
    with working("reading", 2, unit="images", is_aside=True, stream=stream) as work:
        work.advance(2)
    assert stream.getvalue() == ""


def test_work_that_fails_does_not_say_that_it_is_done() -> None:
    stream = io.StringIO()
    with (
        pytest.raises(KeyboardInterrupt),
        working("adding", 3, unit="images", stream=stream),
    ):
        raise KeyboardInterrupt
    assert stream.getvalue() == ""


def test_on_a_terminal_progress_is_a_bar() -> None:
    stream = Terminal()
    with working("adding", 3, unit="images", stream=stream) as work:
        for _ in range(3):
            work.advance()
        work.reach(3, "almost")
    assert "3/3" in stream.getvalue()
    assert "images" in stream.getvalue()
    assert "images/s" in stream.getvalue()
    assert "0:00:00" in stream.getvalue()
