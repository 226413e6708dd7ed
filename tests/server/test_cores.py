"""How many threads are of use: never more than the cgroup's share of cores."""

import os
from pathlib import Path

import pytest

from icecore.server.cores import usable_cores

HERE = len(os.sched_getaffinity(0))


def _cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: str, files: dict[str, str]
) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    mount = tmp_path / "cgroup"
    for name, text in files.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "ours").write_text(ours)
    return usable_cores(mount=mount, ours=tmp_path / "ours")


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 16),
        ("400000 100000\n", 4),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("3200000 100000\n", 16),
        ("nonsense\n", 16),
        ("1 0\n", 16),
        ("", 16),
    ],
)
def test_the_quota_of_the_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int
) -> None:
    assert _cores(tmp_path, monkeypatch, "0::/\n", {"cpu.max": text}) == cores


def test_the_smallest_quota_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.slice/cpu.max": "300000 100000",
        "a.slice/b.scope/cpu.max": "max 100000",
        "c.slice/cpu.max": "100000 100000",
    }
    assert _cores(tmp_path, monkeypatch, "0::/a.slice/b.scope\n", files) == 3


def test_a_group_whose_path_is_of_outside_is_at_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may see its own group as the top, and its path as the machine has it."""
    files = {"cpu.max": "200000 100000"}
    assert _cores(tmp_path, monkeypatch, "0::/docker/0123/x\n", files) == 2
    assert _cores(tmp_path, monkeypatch, "0::/../../x\n", files) == 2


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_groups_of_version_1_count_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    ours = "12:memory:/g\n4:cpu,cpuacct:/g\n0::/\n"
    files = {
        f"{folder}/cpu.cfs_quota_us": "-1\n",
        f"{folder}/cpu.cfs_period_us": "100000\n",
        f"{folder}/g/cpu.cfs_quota_us": "500000\n",
        f"{folder}/g/cpu.cfs_period_us": "100000\n",
    }
    assert _cores(tmp_path, monkeypatch, ours, files) == 5


def test_without_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(mount=tmp_path / "none", ours=tmp_path / "none") == HERE
    assert 1 <= usable_cores() <= HERE
