"""Which files count as images, and what is said of the others."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icecore.cli.mistakes import Mistake
from icecore.cli.readable import fault, require_readable


def _noise(path: Path, mode: str = "RGB", **options: object) -> Path:
    values = np.random.default_rng(0).integers(0, 256, size=(64, 64, 3)).astype(np.uint8)
    image = Image.fromarray(values)
    (image if mode == "RGB" else image.convert(mode)).save(path, **options)  # type: ignore[arg-type]
    return path


def _huge(path: Path) -> Path:
    """A PNG whose header says 50,000 x 50,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    path.write_bytes(data + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_the_three_formats_are_read_whole(tmp_path: Path, name: str) -> None:
    path = _noise(tmp_path / name)
    assert fault(path) is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert fault(path) is not None, "half a file passes for a whole one"


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "I;16"])
def test_modes_are_the_servers_matter(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    path = tmp_path / f"a.{suffix}"
    if mode == "I;16":
        Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(path)
    else:
        _noise(path, mode)
    assert fault(path) is None


def test_each_bad_file_is_named_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    _noise(tmp_path / "animated.gif")
    half = _noise(tmp_path / "half.jpg")
    half.write_bytes(half.read_bytes()[:1500])
    _huge(tmp_path / "huge.png")
    (tmp_path / "folder.jpg").mkdir()
    names = ["text.jpg", "empty.png", "animated.gif", "half.jpg", "huge.png", "folder.jpg"]
    assert [fault(tmp_path / name) for name in names] == [
        "no JPEG, PNG or WebP",
        "empty",
        "no JPEG, PNG or WebP",
        "truncated",
        "too many pixels",
        "is a directory",
    ]


def test_all_bad_files_stop_the_command_unless_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = _noise(tmp_path / "good.png")
    bad = [tmp_path / f"bad{place:02d}.png" for place in range(12)]
    for path in bad:
        path.write_text("x")
    with pytest.raises(Mistake) as caught:
        require_readable([bad[0], good, bad[1]], lambda path: path, skip_bad=False)
    why = "(no JPEG, PNG or WebP)"
    first, second = repr(str(bad[0])), repr(str(bad[1]))
    told = f"2 files cannot be read: {first} {why}, {second} {why}"
    assert str(caught.value) == f"{told}; --skip-bad leaves them out"

    kept = require_readable([bad[0], good, bad[1]], lambda path: path, skip_bad=True)
    assert kept == [good]
    assert capsys.readouterr().err == f"left out: {told}\n"

    with pytest.raises(Mistake, match=r"^12 files cannot be read: .* and 2 more$"):
        require_readable(bad, lambda path: path, skip_bad=True)
