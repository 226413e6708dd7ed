"""The disk of the cache: there after a restart, a miss when damaged, gone when it must be."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.embedding.caching.code_rows import remove_rows
from icecore.server.embedding.caching.disk import DiskCache


def codes(number: int, n: int = 100) -> npt.NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=(n,)).astype(np.float32)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codes.cache"


def test_codes_are_there_before_and_after_a_restart_to_the_bit(path: Path) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.put("a", key(2), codes(2).reshape(4, 5, 5))
    for _ in range(2):
        found = cache.get("a", [key(1), key(2), key(3)])
        assert set(found) == {key(1), key(2)}
        assert np.array_equal(found[key(1)], codes(1))
        assert np.array_equal(found[key(2)], codes(2).reshape(4, 5, 5))
        assert cache.get("b", [key(1)]) == {}
        cache.close()
        cache = DiskCache(path, 1 << 20)
    assert cache.n_bytes == 800
    cache.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_keeps_to_its_bytes_and_drops_what_was_used_longest_ago(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000
    monkeypatch.setattr("icecore.server.embedding.caching.code_rows.time", lambda: now)
    cache = DiskCache(path, 600 * 400)
    for number in range(500):
        cache.put("a", key(number), codes(number))
    cache.write()
    now += 1
    assert cache.get("a", [key(7)])
    for number in range(500, 1000):
        cache.put("a", key(number), codes(number))
    cache.write()
    assert cache.n_bytes <= 600 * 400
    found = cache.get("a", [key(number) for number in range(1000)])
    assert key(7) in found
    assert {key(number) for number in range(500, 1000)} <= set(found)
    cache.close()


def test_a_flipped_bit_is_a_miss(path: Path) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.close()
    where = path.read_bytes().find(codes(1).tobytes())
    with path.open("r+b") as file:
        file.seek(where + 50)
        (byte,) = file.read(1)
        file.seek(where + 50)
        file.write(bytes([byte ^ 1]))
    cache = DiskCache(path, 1 << 20)
    assert cache.get("a", [key(1)]) == {}
    cache.close()


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0abc"])
def test_a_file_that_cannot_be_read_is_made_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.write()
    assert np.array_equal(cache.get("a", [key(1)])[key(1)], codes(1))
    cache.close()


def test_a_file_of_another_format_is_made_anew(path: Path) -> None:
    DiskCache(path, 1 << 20).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.write()
    assert cache.get("a", [key(1)])
    cache.close()


def test_a_file_damaged_while_it_is_open_is_made_anew(path: Path) -> None:
    cache = DiskCache(path, 1 << 24)
    for number in range(300):
        cache.put("a", key(number), codes(number, 1000))
    cache.close()
    cache = DiskCache(path, 1 << 24)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert cache.get("a", [key(number) for number in range(300)]) == {}
    cache.put("a", key(1), codes(1))
    cache.write()
    assert cache.get("a", [key(1)])
    cache.close()


def test_a_forgotten_tenants_bytes_are_nowhere(path: Path) -> None:
    cache = DiskCache(path, 1 << 20)
    for number in range(20):
        cache.put("a", key(number), codes(number))
        cache.put("b", key(number), codes(100 + number))
    cache.write()
    cache.put("a", key(50), codes(50))
    cache.forget("a")
    assert cache.get("a", [key(number) for number in range(60)]) == {}
    assert len(cache.get("b", [key(number) for number in range(60)])) == 20
    cache.close()
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert codes(103).tobytes() in left
    for number in [*range(20), 50]:
        assert codes(number).tobytes()[:100] not in left


def test_what_comes_faster_than_it_is_written_is_let_go(path: Path) -> None:
    cache = DiskCache(path, 1 << 30)
    for number in range(20):
        cache.put("a", key(number), np.zeros(1 << 18, np.float32))
    assert cache.n_bytes == 16 << 20
    cache.close()


def test_removing_leaves_nothing(path: Path) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.write()
    cache.close()
    remove_rows(path)
    remove_rows(path)
    assert list(path.parent.iterdir()) == []


def test_large_codes_are_written_though_they_are_few(path: Path) -> None:
    cache = DiskCache(path, 1 << 30)
    large = [np.full(1 << 18, number, np.float32) for number in range(40)]
    for number, one in enumerate(large):
        if cache.put("a", key(number), one):
            cache.write()
    cache.close()
    cache = DiskCache(path, 1 << 30)
    found = cache.get("a", [key(number) for number in range(40)])
    assert len(found) == 40
    assert all(np.array_equal(found[key(number)], one) for number, one in enumerate(large))
    cache.close()


@pytest.mark.parametrize("busy", ["write", "forget"])
def test_nobody_waits_for_a_disk_that_is_at_work_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    began, may_end = Event(), Event()

    def slow(*_: object) -> None:
        began.set()
        assert may_end.wait(30)

    monkeypatch.setattr(f"icecore.server.embedding.caching.code_rows.CodeRows.{busy}", slow)
    work = cache.write if busy == "write" else lambda: cache.forget("a")
    at_work = Thread(target=work)
    found: list[object] = []

    def put_and_get() -> None:
        cache.put("b", key(2), codes(2))
        found.extend(cache.get("b", [key(2), key(3)]))

    putting = Thread(target=put_and_get, daemon=True)
    at_work.start()
    assert began.wait(30)
    putting.start()
    putting.join(5)
    is_waiting = putting.is_alive()
    may_end.set()
    at_work.join()
    assert not is_waiting
    assert found == [key(2)]
    monkeypatch.undo()
    cache.close()


def test_a_damaged_index_leads_to_nobody_elses_codes(path: Path) -> None:
    cache = DiskCache(path, 1 << 20)
    for number in (1, 2):
        cache.put("a", key(number), codes(number))
    cache.close()
    with sqlite3.connect(path) as database:  # each row whole, but at the other's key
        database.execute("UPDATE codes SET key = ? WHERE key = ?", (key(3), key(1)))
        database.execute("UPDATE codes SET key = ? WHERE key = ?", (key(1), key(2)))
    database.close()
    cache = DiskCache(path, 1 << 20)
    assert cache.get("a", [key(number) for number in range(4)]) == {}
    cache.put("a", key(1), codes(1))
    cache.write()
    assert np.array_equal(cache.get("a", [key(1)])[key(1)], codes(1))
    assert cache.n_bytes == 800
    cache.close()


def test_a_disk_that_fails_for_good_is_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    code_rows = "icecore.server.embedding.caching.code_rows"
    monkeypatch.setattr(f"{code_rows}.CodeRows.write", full)
    monkeypatch.setattr(f"{code_rows}._database", full)
    cache.write()
    assert cache.get("a", [key(1)]) == {}
    assert not any(cache.put("a", key(number), codes(number)) for number in range(300))
    cache.write()
    assert cache.n_bytes == 0
    path.write_bytes(codes(1).tobytes())
    cache.forget("a")
    assert not path.exists()
    cache.close()


@pytest.mark.parametrize(
    "late",
    [DiskCache.write, DiskCache.close, lambda cache: cache.get("a", [key(1)])],
    ids=["write", "close", "get"],
)
def test_what_comes_after_the_end_harms_nothing(
    path: Path, late: Callable[[DiskCache], object]
) -> None:
    cache = DiskCache(path, 1 << 20)
    cache.put("a", key(1), codes(1))
    cache.close()
    cache.put("a", key(2), codes(2))
    late(cache)
    cache = DiskCache(path, 1 << 20)
    assert set(cache.get("a", [key(1), key(2)])) == {key(1)}
    cache.close()


def test_times_of_use_are_written_before_they_are_many(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icecore.server.embedding.caching.code_rows._MOST_USED", 10)
    now = 1000
    monkeypatch.setattr("icecore.server.embedding.caching.code_rows.time", lambda: now)
    cache = DiskCache(path, 1 << 20)
    for number in range(25):
        cache.put("a", key(number), codes(number))
    cache.write()
    now = 2000
    for number in range(25):
        cache.get("a", [key(number)])
    with sqlite3.connect(path) as database:
        used = database.execute("SELECT count(*) FROM codes WHERE used = 2000").fetchone()
    database.close()
    assert used == (20,)
    cache.close()
