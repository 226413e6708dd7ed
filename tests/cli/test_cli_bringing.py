"""What is left to do when the server refuses an image that looked good here."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from cli_runs import photo
from icecore.cli import bringing
from icecore.cli.folders import labelled_files
from icecore.cli.mistakes import Interrupted
from icecore.client import (
    Added,
    Client,
    InvalidArgument,
    NewExample,
    NotFound,
    OnDuplicate,
    Reason,
)


class FakeClient:
    """Keeps ids; refuses some images, a batch at a time, as the server does."""

    def __init__(self, *refused: str, reason: Reason = Reason.IMAGE_TOO_LARGE) -> None:
        self.refused, self.reason = refused, reason
        self.stored: list[str] = []
        self.n_batches = 0

    def add_examples(
        self,
        collection_id: str,
        examples: Iterable[NewExample],
        *,
        on_duplicate: OnDuplicate,
        batch_size: int,
        on_batch: Callable[[Added], None],
    ) -> None:
        waiting = [example.example_id for example in examples]
        for start in range(0, len(waiting), batch_size):
            batch = waiting[start : start + batch_size]
            self.n_batches += 1
            bad = [one for one in batch if one in self.refused]
            if bad:
                raise InvalidArgument(f"the image of example {bad[0]!r} is bad", reason=self.reason)
            self.stored += batch
            on_batch(Added(n_added=len(batch)))

    def collection(self, collection_id: str) -> Any:
        if not self.stored:
            raise NotFound("no such collection")
        return object()

    def create_collection(self, collection_id: str, *, backbone: str) -> None: ...

    def backbone(self, name: str) -> None: ...


def _bring(folder: Path, fake: FakeClient, *, skip_bad: bool) -> bringing.Brought:
    client = cast(Client, fake)
    plan = bringing.plan(client, "c", labelled_files(folder))
    return bringing.bring(client, plan, skip_bad=skip_bad)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in range(100):
        photo(tmp_path / "a" / f"{place:03d}.png", place)
    return tmp_path


@pytest.mark.parametrize(
    "places", [(0,), (31,), (32, 33), (99,), (0, 50, 99), tuple(range(100))[::9]]
)
def test_refused_images_are_left_out_and_all_others_stored_once(
    folder: Path, places: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = [f"a/{place:03d}.png" for place in places]
    fake = FakeClient(*refused)
    brought = _bring(folder, fake, skip_bad=True)
    everything = [file.example_id for file in labelled_files(folder)]
    assert fake.stored == [one for one in everything if one not in refused]
    assert brought.added.n_added == 100 - len(refused)
    assert [one.path for one in brought.skipped] == [folder / one for one in refused]
    assert "left out: " in capsys.readouterr().err


def test_without_leave_to_skip_the_first_refusal_stops(folder: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"'a/050\.png'"):
        _bring(folder, FakeClient("a/050.png"), skip_bad=False)


def test_another_mistake_is_never_skipped(folder: Path) -> None:
    fake = FakeClient("a/050.png", reason=Reason.NAME_INVALID)
    with pytest.raises(InvalidArgument):
        _bring(folder, fake, skip_bad=True)
    assert fake.n_batches == 2, "tried again in vain"


def test_without_refusals_whole_batches_are_sent(folder: Path) -> None:
    fake = FakeClient()
    _bring(folder, fake, skip_bad=True)
    assert fake.n_batches == 4


def test_ctrl_c_says_that_what_was_brought_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "a" / "1.png", 1)
    fake = FakeClient()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fake, "add_examples", interrupted)
    with pytest.raises(Interrupted, match="what is in collection 'c' already stays"):
        _bring(tmp_path, fake, skip_bad=False)
