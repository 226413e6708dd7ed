"""Regions: files that are open while somebody needs them, and no longer."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icecore.server.errors import IcecoreError, RegionInvalid, RegionNotFound
from icecore.server.rpc.kserve.regions import MAX_REGIONS, Regions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "memory").write_bytes(bytes(range(100)))
    return tmp_path


@pytest.fixture
def regions(folder: Path) -> Iterator[Regions]:
    regions = Regions(folder)
    yield regions
    regions.close()


def _open_files() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return found


def test_offsets_add_up(regions: Regions) -> None:
    regions.register("t", "r", "memory", offset=10, byte_size=50)
    with regions.stretch("t", "r", offset=5, byte_size=3) as part:
        assert bytes(part.read()) == bytes([15, 16, 17])
    with regions.stretch("t", "r", offset=48, byte_size=0) as rest:
        assert bytes(rest.read()) == bytes([58, 59])
        rest.write(b"ab")
        assert bytes(rest.read()) == b"ab"


@pytest.mark.parametrize(("offset", "size"), [(0, 51), (48, 3), (50, 0), (51, 0), (50, 1)])
def test_a_region_ends_where_it_was_said_to_end(offset: int, size: int, regions: Regions) -> None:
    """Its memory goes on behind it, and may be somebody else's to use."""
    regions.register("t", "r", "memory", offset=10, byte_size=50)
    with (
        pytest.raises(RegionInvalid, match="not within region 'r', which has 50"),
        regions.stretch("t", "r", offset=offset, byte_size=size),
    ):
        pass


def test_semaphores_are_left_alone(regions: Regions, folder: Path) -> None:
    (folder / "sem.x").write_bytes(bytes(32))
    with pytest.raises(RegionInvalid, match="no name of shared memory"):
        regions.register("t", "r", "/sem.x", offset=0, byte_size=32)


def test_what_was_taken_stays_open_until_it_is_given_back(regions: Regions, folder: Path) -> None:
    path = str(folder / "memory")
    regions.register("t", "r", "memory", offset=0, byte_size=100)
    assert path in _open_files()
    with regions.stretch("t", "r", offset=0, byte_size=0) as part:
        regions.unregister("t", "r")
        assert path in _open_files()
        assert bytes(part.read()) == bytes(range(100))
    assert path not in _open_files()
    with (
        pytest.raises(RegionNotFound),
        regions.stretch("t", "r", offset=0, byte_size=0),
    ):
        pass


def test_what_is_refused_leaves_nothing_open(regions: Regions, folder: Path) -> None:
    before = _open_files()
    for key, offset, size in (("memory", 0, 101), ("memory", 1 << 63, 5), ("absent", 0, 1)):
        with pytest.raises(RegionInvalid):
            regions.register("t", "r", key, offset=offset, byte_size=size)
    regions.register("t", "r", "memory", offset=0, byte_size=100)
    with pytest.raises(IcecoreError):
        regions.register("t", "r", "memory", offset=0, byte_size=100)
    with pytest.raises(RegionInvalid, match="another tenant"):
        regions.register("u", "r", "memory", offset=0, byte_size=100)
    regions.close()
    assert _open_files() == before


def test_a_tenant_may_register_memory_twice_and_after_another_let_it_go(regions: Regions) -> None:
    for name in ("a", "b"):
        regions.register("t", name, "memory", offset=0, byte_size=100)
    regions.unregister("t", "a")
    with pytest.raises(RegionInvalid, match="another tenant"):
        regions.register("u", "a", "memory", offset=0, byte_size=100)
    regions.unregister("t", "")
    regions.register("u", "a", "memory", offset=0, byte_size=100)
    assert [one.name for one in regions.listed("u", "")] == ["a"]
    assert regions.listed("t", "") == []


def test_there_is_a_most_a_tenant(regions: Regions) -> None:
    for number in range(MAX_REGIONS):
        regions.register("t", str(number), "memory", offset=0, byte_size=1)
    with pytest.raises(RegionInvalid, match=f"there are {MAX_REGIONS} regions"):
        regions.register("t", "more", "memory", offset=0, byte_size=1)


def test_devices_are_no_shared_memory() -> None:
    with pytest.raises(RegionInvalid, match="is no shared memory"):
        Regions(Path("/dev")).register("t", "r", "null", offset=0, byte_size=1)


def test_a_page_that_cannot_be_had_is_told(regions: Regions, monkeypatch: Any) -> None:
    """Memory that was made longer and never written has no pages until it is."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    regions.register("t", "r", "memory", offset=0, byte_size=100)
    monkeypatch.setattr("os.pwrite", full)
    with (
        regions.stretch("t", "r", offset=0, byte_size=0) as part,
        pytest.raises(RegionInvalid, match="'r' cannot be written: No space left"),
    ):
        part.write(b"x")


def test_what_is_written_in_part_is_written_on(regions: Regions, monkeypatch: Any) -> None:
    """The system takes at most 2 GiB at once, and less where there is no page for more."""
    whole = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda file, values, at: whole(file, values[:3], at))
    regions.register("t", "r", "memory", offset=10, byte_size=50)
    with regions.stretch("t", "r", offset=5, byte_size=0) as part:
        part.write(b"0123456789")
        assert bytes(part.read()[:12]) == b"0123456789" + bytes([25, 26])
