"""How many threads are of use: never more than the cgroup's share of cores."""

import os
from pathlib import Path

import pytest

from icecore.server import cores
from icecore.server.cores import IdleCores, usable_cores

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


def test_a_core_is_idle_while_nothing_runs_on_it(tmp_path: Path) -> None:
    load = tmp_path / "loadavg"
    for running, n_idle in ((0, 3), (1, 3), (2, 2), (4, 0), (90, -86)):
        load.write_text(f"0.20 0.18 0.12 {running}/80 11206\n")
        idle = IdleCores(load, cores=4)
        assert idle.at_least(0)
        for n in (1, 2, 3, 4):
            assert idle.at_least(n) is (n <= n_idle)


def test_who_goes_to_sleep_at_once_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 2/80 11206\n")
    monkeypatch.setattr(cores, "sleep", lambda _: load.write_text("0.20 0.18 0.12 1/80 11206\n"))
    assert IdleCores(load, cores=2).at_least(1)


@pytest.mark.parametrize("text", [None, "", "0.2 0.1 0.1 many/80 1\n"])
def test_where_the_kernel_does_not_tell_all_others_are_idle(
    tmp_path: Path, text: str | None
) -> None:
    load = tmp_path / "loadavg"
    if text is not None:
        load.write_text(text)
    idle = IdleCores(load, cores=4)
    assert idle.at_least(3)
    assert not idle.at_least(4)


def test_what_gives_way_takes_no_core(tmp_path: Path) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 4/80 11206\n")
    for n_giving_way, n_idle in ((0, 0), (1, 1), (3, 3)):
        idle = IdleCores(load, cores=4, n_giving_way=lambda n=n_giving_way: n)  # type: ignore[misc]
        assert [idle.at_least(n) for n in (1, 2, 3)] == [n <= n_idle for n in (1, 2, 3)]
