"""`icecore embed` of many files: bounded memory, and interruptions that cost nothing."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cli_runs import Icecore, child, photo
from fake_server import FakeServer, Refusal
from icecore.cli.codes_files.part_file import FileState, part_path
from icecore.client import Codes, TapId
from icecore.v1 import backbone_pb2, codes_pb2
from icecore.wire import messages
from servers import Server, serving

DIGEST = "ab" * 32
RECIPE = backbone_pb2.Recipe(height=8, width=8, resize=8, interpolation="bicubic", channels="RGB")


class Counting:
    """Codes of `width` values that are the number which a file is; counts what came."""

    def __init__(self, width: int = 1, hold: Callable[[list[int]], None] | None = None) -> None:
        self.width, self.hold = width, hold
        self.seen: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        numbers = [int(image.encoded) for image in request.images]
        if self.hold is not None:
            self.hold(numbers)
        with self._lock:
            self.seen += numbers
        values = np.repeat(np.array(numbers, np.float32)[:, None], self.width, axis=1)
        tap = TapId(digest=DIGEST, layer="x")
        return codes_pb2.EmbedResponse(codes=[messages.codes_to_message(Codes(values, tap))])


def backbone(_: Any) -> backbone_pb2.GetBackboneResponse:
    return backbone_pb2.GetBackboneResponse(
        backbone=backbone_pb2.Backbone(name="b", digest=DIGEST, recipe=RECIPE)
    )


def numbers(folder: Path, n: int) -> Path:
    folder.mkdir()
    for place in range(n):
        (folder / f"{place:05}.jpg").write_bytes(b"%d" % place)
    return folder


@pytest.fixture
def icecore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Icecore:
    return Icecore(capsys, "--server", f"unix:{tmp_path}/fake.sock")


def read(out: Path) -> list[int]:
    with np.load(out) as file:
        names = [int(Path(path).stem) for path in file["paths"].tolist()]
        assert names == sorted(names)
        assert file["codes"][:, 0].tolist() == names
        return names


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_goes_on_after_an_interruption(
    tmp_path: Path, icecore: Icecore, number: signal.Signals
) -> None:
    files, out = numbers(tmp_path / "files", 400), tmp_path / "x.npz"
    over = threading.Event()

    def stuck(some: list[int]) -> None:
        if max(some) >= 200:
            over.wait(60)

    embed = Counting(hold=stuck)
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}) as server:
        process = child(
            *("--server", server.address, "embed", files, "--out", out),
            stderr=subprocess.PIPE,
        )
        part = part_path(out)
        # What was asked, what the codes are, and one batch at least.
        while not part.exists() or part.stat().st_size < 3000:
            assert process.poll() is None, process.communicate()
            over.wait(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        over.set()
        assert process.returncode in (-number, 128 + number)
        assert not out.exists()
        if number is signal.SIGINT:
            assert "of 400 images are kept in" in said
            assert "the same command goes on from there" in said
        before = list(embed.seen)
        embed.seen.clear()
        said = icecore.done("embed", files, "--out", out).err
        assert "images have codes in" in said
        assert len(embed.seen) < 400
        assert set(embed.seen) | set(before) == set(range(400))
    assert read(out) == list(range(400))
    assert sorted(path.name for path in tmp_path.glob("*x.npz*")) == ["x.npz"]


def test_a_server_that_is_away_is_told_of_and_waited_for(tmp_path: Path) -> None:
    files, out = numbers(tmp_path / "files", 80), tmp_path / "x.npz"

    def away(some: list[int]) -> None:
        if max(some) >= 64:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "it is away", "SHUTTING_DOWN")

    embed = Counting(hold=away)
    answers: dict[str, Callable[[Any], Any]] = {"GetBackbone": backbone, "Embed": embed}
    with FakeServer(tmp_path, answers) as server:
        process = child(
            *("--server", server.address, "embed", files, "--out", out), stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        said = process.stderr.readline()  # before it is there again
        embed.hold = None
        process.communicate(timeout=60)
    assert said.startswith("embedding: ")
    assert "of 80 images" in said
    assert said.endswith("; it is away; waiting up to 60 s for it\n")
    assert process.returncode == 0
    assert read(out) == list(range(80))


def test_a_file_that_has_changed_is_embedded_again(tmp_path: Path, icecore: Icecore) -> None:
    files, out = numbers(tmp_path / "files", 80), tmp_path / "x.npz"
    embed = Counting(hold=_fail_from(64))
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}):
        said = icecore("embed", files, "--out", out)
        assert said.status == 3
        assert "codes of 64 of 80 images are kept" in said.err
        embed.hold = None
        embed.seen.clear()
        changed = files / "00003.jpg"
        changed.write_bytes(b"003")
        (files / "00005.jpg").unlink()
        (files / "00090.jpg").write_bytes(b"90")
        icecore.done("embed", files, "--out", out)
        assert sorted(embed.seen) == [3, *range(64, 80), 90]
        with np.load(out) as file:
            assert file["codes"][:, 0].tolist() == [
                place for place in (*range(80), 90) if place != 5
            ]


def _fail_from(first: int) -> Callable[[list[int]], None]:
    def fail(some: list[int]) -> None:
        if max(some) >= first:
            raise Refusal(grpc.StatusCode.INTERNAL, "the server failed", "INTERNAL")

    return fail


def test_another_request_begins_anew_only_when_told_so(tmp_path: Path, icecore: Icecore) -> None:
    files, out = numbers(tmp_path / "files", 80), tmp_path / "x.npz"
    embed = Counting(hold=_fail_from(64))
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}):
        assert icecore("embed", files, "--out", out).status == 3
        embed.hold = None
        said = icecore.refused("embed", files, "--out", out, "--dtype", "float16")
        assert "dtype 'float32', now 'float16'): --restart begins anew" in said
        embed.seen.clear()
        icecore.done("embed", files, "--out", out, "--restart")
        assert sorted(embed.seen) == list(range(80))
    assert read(out) == list(range(80))


def test_a_request_that_is_refused_leaves_nothing_behind(tmp_path: Path, icecore: Icecore) -> None:
    files, out = numbers(tmp_path / "files", 80), tmp_path / "x.npz"

    def refuse(_: list[int]) -> None:
        raise Refusal(grpc.StatusCode.NOT_FOUND, "depth 99 is not there", "LAYER_NOT_FOUND")

    embed = Counting(hold=refuse)
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}):
        said = icecore.refused("embed", files, "--out", out, "--layer", "99")
        assert said == "depth 99 is not there"
        assert not part_path(out).exists()
        embed.hold = None
        icecore.done("embed", files, "--out", out, "--layer", "9")
    assert read(out) == list(range(80))


def test_an_interruption_before_the_first_codes_leaves_nothing_behind(tmp_path: Path) -> None:
    files, out = numbers(tmp_path / "files", 80), tmp_path / "x.npz"
    asked, over = threading.Event(), threading.Event()

    def stuck(_: list[int]) -> None:
        asked.set()
        over.wait(60)

    answers: dict[str, Callable[[Any], Any]] = {
        "GetBackbone": backbone,
        "Embed": Counting(hold=stuck),
    }
    with FakeServer(tmp_path, answers) as server:
        process = child(
            *("--server", server.address, "embed", files, "--out", out),
            stderr=subprocess.PIPE,
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        over.set()
    assert said.splitlines()[-1] == "icecore: interrupted"
    assert not part_path(out).exists()


def test_bad_files_are_all_named_and_the_work_on_the_others_is_kept(
    tmp_path: Path, icecore: Icecore
) -> None:
    files, out = numbers(tmp_path / "files", 100), tmp_path / "x.npz"
    (files / "00007.jpg").write_bytes(b"")
    (files / "00070.jpg").write_bytes(b"text")
    (files / "00071.jpg").unlink()
    (files / "00071.jpg").symlink_to(files / "absent")

    def picky(request: codes_pb2.EmbedRequest) -> codes_pb2.EmbedResponse:
        for place, image in enumerate(request.images):
            if not image.encoded.isdigit():
                raise Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"image {place} is empty",
                    "IMAGE_INVALID",
                    image=str(place),
                )
        return embed(request)

    embed = Counting()
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": picky}):
        said = icecore.refused("embed", files, "--out", out)
        assert said.startswith("3 files cannot be read: ")
        for name, why in (
            ("00007", "empty"),
            ("00070", "no JPEG, PNG or WebP"),
            ("00071", "no such file or directory"),
        ):
            assert f"{name}.jpg' ({why})" in said
        assert "--skip-bad leaves them out" in said
        assert not out.exists()
        assert len(embed.seen) == 97
        said = icecore.done("embed", files, "--out", out, "--skip-bad").err
        assert "left out: 3 files cannot be read" in said
        assert len(embed.seen) == 97, "nothing is done twice"
    assert read(out) == [place for place in range(100) if place not in (7, 70, 71)]


def test_files_that_appear_meanwhile_are_left_to_the_next_time(
    tmp_path: Path, icecore: Icecore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could look at them before they were read, so nobody knows which state that was."""
    files, out = numbers(tmp_path / "files", 100), tmp_path / "x.npz"
    late = {"00000.jpg", "00041.jpg", "00099.jpg"}
    of = FileState.of

    def looked_at(path: Path) -> FileState:
        if path.name in late:
            raise FileNotFoundError(2, "No such file or directory")
        return of(path)

    monkeypatch.setattr(FileState, "of", looked_at)
    embed = Counting()
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}):
        said = icecore.refused("embed", files, "--out", out)
        assert said.startswith("3 files cannot be read: ")
        for name in late:
            assert f"{name}' (no such file or directory)" in said
        late.clear()
        icecore.done("embed", files, "--out", out)
        assert sorted(embed.seen) == list(range(100))
    assert read(out) == list(range(100))


def test_a_file_named_twice_is_embedded_once_and_written_twice(
    tmp_path: Path, icecore: Icecore
) -> None:
    files, out = numbers(tmp_path / "files", 3), tmp_path / "x.npz"
    embed = Counting()
    one = files / "00001.jpg"
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": embed}):
        icecore.done("embed", one, files, one, "--out", out)
        assert sorted(embed.seen) == [0, 1, 2]
    with np.load(out) as file:
        assert file["codes"][:, 0].tolist() == [1, 0, 1, 2, 1]


TELLS_ITS_PEAK = """
import sys
from pathlib import Path
from icecore.cli.__main__ import main
assert main(sys.argv[1:]) == 0
[line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
print(line.split()[1])
"""
"""The kernel's own figure for a child counts what its parent had before it."""


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """Codes of 700 more files, 50 KB each, are 35 MB; so much is never there."""
    width = 12_500
    many, few = numbers(tmp_path / "many", 1000), numbers(tmp_path / "few", 300)
    with FakeServer(tmp_path, {"GetBackbone": backbone, "Embed": Counting(width)}) as server:
        peaks = []
        for files in (few, many):
            out = tmp_path / f"{files.name}.npz"
            done = subprocess.run(
                [
                    *(sys.executable, "-c", TELLS_ITS_PEAK, "--server", server.address),
                    *("embed", str(files), "--out", str(out)),
                ],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            peaks.append(int(done.stdout) << 10)
        assert out.stat().st_size > 1000 * 4 * width
    assert peaks[1] - peaks[0] < 15 << 20


@pytest.fixture(scope="module")
def toy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bulk") / "data") as server:
        yield server


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".arrow"])
def test_a_real_server_gives_the_same_codes_downscaled(
    toy_server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path, suffix: str
) -> None:
    icecore = Icecore(capsys, "--server", toy_server.address)
    for seed in range(40):
        photo(tmp_path / "photos" / f"{seed}.png", seed)
    outs = [tmp_path / f"{name}{suffix}" for name in ("plain", "small")]
    layers = ("--layer", "1", "--layer", "three")
    for out, flags in zip(outs, ([], ["--downscale"]), strict=True):
        icecore.done("embed", tmp_path / "photos", "--out", out, *layers, *flags)
    if suffix == ".npz":
        with np.load(outs[0]) as plain, np.load(outs[1]) as small:
            assert set(plain) == {"paths", "one", "three"}
            for name in plain:
                assert np.array_equal(plain[name], small[name])
    else:
        assert outs[0].read_bytes() == outs[1].read_bytes()
