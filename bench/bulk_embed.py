"""What do ten thousand files cost `icecore embed`: memory, images a second, an interruption?

Small JPEGs are embedded at the first layer of the default backbone, so that it is the
way there and back that is measured. Prints, for a tenth of the files and for all of
them, the command's peak memory and its images a second; then kills it (SIGKILL) half
way and lets the same command go on; then writes the other formats. At the
end photos of 12 megapixels, as they are and downscaled. The law: neither the interruption
nor downscaling changes a bit.

Usage: python bench/bulk_embed.py [--images N] [--photos N]
"""

import argparse
import io
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

from icecore.cli.codes_files.part_file import MAGIC, part_path
from load.processes import cpu_seconds, descendants

PROGRAM = """
import sys
from pathlib import Path
from icecore.cli.__main__ import main
status = main(sys.argv[1:])
[line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
sys.exit(status or sys.stderr.write(f"peak {line.split()[1]}\\n") * 0)
"""
"""`icecore`, which tells its peak in KB; the kernel's own figure counts its parent's too."""

ROW_BYTES = 32 * 4 + 60
"""About what an image takes in a part file here: 32 numbers, a path."""


@dataclass(frozen=True)
class Run:
    """A finished command."""

    seconds: float
    cpu_s: float
    peak_mb: float
    said: str


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, str]]:
    """A server that keeps no codes, since every run here asks for the same ones."""
    arguments = ["--data", str(folder), "--listen", "127.0.0.1:0", "--cache-mb", "0"]
    child = subprocess.Popen(
        [sys.executable, "-m", "icecore.server", *arguments], stderr=subprocess.DEVNULL
    )
    try:
        described, deadline = folder / "server.json", time.monotonic() + 60
        while not described.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        yield child.pid, json.loads(described.read_text())["listen"]
    finally:
        child.terminate()
        child.wait(timeout=60)


def small_images(folder: Path, n: int) -> Path:
    folder.mkdir()
    random = np.random.default_rng(1)
    for place in range(n):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        image.save(folder / f"{place:06}.jpg")
    return folder


def photos(folder: Path, n: int) -> Path:
    """Of 12 megapixels: soft clouds of colour under a camera's noise."""
    folder.mkdir()
    random = np.random.default_rng(2)
    for place in range(n):
        clouds = Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8))
        pixels = np.asarray(clouds.resize((4000, 3000), Image.Resampling.BICUBIC), np.int16)
        noise = random.normal(0, 4, (3000, 4000, 1)).astype(np.int16)
        file = io.BytesIO()
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(
            file, "JPEG", quality=92
        )
        (folder / f"{place:03}.jpg").write_bytes(file.getvalue())
    return folder


def embed(address: str, files: list[Path], out: Path, *flags: str) -> "subprocess.Popen[str]":
    arguments = ["embed", *map(str, files), "--out", str(out), "--layer", "1", *flags]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--server", address, *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )


def timed(address: str, files: list[Path], out: Path, *flags: str) -> Run:
    began = time.perf_counter()
    process = embed(address, files, out, *flags)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(said)
    seconds = time.perf_counter() - began
    peak_kb = int(said.rpartition("peak ")[2])
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak_kb / 1024, said)


def codes_of(out: Path) -> bytes:
    with np.load(out) as file:
        return bytes(file["codes"].tobytes())


def killed_half_way(address: str, files: Path, out: Path, n: int) -> int:
    """Return how many images have codes when the command is killed."""
    process = embed(address, [files], out)
    part = part_path(out)
    while not part.exists() or part.stat().st_size < len(MAGIC) + n // 2 * ROW_BYTES:
        if process.poll() is not None:
            raise SystemExit("the command was done before it could be killed")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return part.stat().st_size // ROW_BYTES


def peak_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=12)
    options = parser.parse_args()
    n = options.images
    print(f"{date.today()}  {platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as name, server(Path(name) / "data") as (pid, address):
        folder = Path(name)
        files = small_images(folder / "files", n)
        few = sorted(files.iterdir())[: n // 10]
        timed(address, few[:8], folder / "warm.npz")
        print(f"\n{'':34} {'images/s':>9} {'command s':>10} {'CPU s':>6} {'peak MB':>8}")

        def show(title: str, run: Run, images: int) -> None:
            rate = images / run.seconds
            print(f"{title:34} {rate:9.0f} {run.seconds:10.1f} {run.cpu_s:6.1f} {run.peak_mb:8.0f}")

        small = timed(address, few, folder / "few.npz")
        show(f"{len(few):,} files of 64 x 64, npz", small, len(few))
        whole = timed(address, [files], folder / "all.npz")
        show(f"{n:,} files, npz", whole, n)
        print(f"{'':34} memory {whole.peak_mb / small.peak_mb:.2f} times for 10 times the files")
        for suffix in ("parquet", "arrow"):
            show(f"{n:,} files, {suffix}", timed(address, [files], folder / f"all.{suffix}"), n)
        print(f"{'':34} server's peak memory {peak_of(pid):.0f} MB")

        out = folder / "killed.npz"
        done = killed_half_way(address, files, out, n)
        again = timed(address, [files], out)
        [kept] = [line for line in again.said.splitlines() if "already" in line]
        print(f"\nkilled with SIGKILL at about {done:,} images; the same command again:")
        print(f"  {kept.partition(' in ')[0]}; {again.seconds:.1f} s against {whole.seconds:.1f} s")
        is_same = codes_of(out) == codes_of(folder / "all.npz")
        print(f"  the file is {'equal to the bit' if is_same else 'DIFFERENT'}")

        large = photos(folder / "photos", options.photos)
        sent = sum(path.stat().st_size for path in large.iterdir())
        print(f"\n{options.photos} photos of 12 megapixels, {sent / 1e6:.1f} MB")
        found = []
        for flags in ((), ("--downscale",)):
            spent = cpu_seconds(descendants(pid))
            run = timed(address, [large], folder / "large.npz", *flags)
            spent = cpu_seconds(descendants(pid)) - spent
            found.append(codes_of(folder / "large.npz"))
            what = "downscaled, 150 KB each" if flags else "as they are"
            print(
                f"  {what:26} {run.seconds:5.1f} s, CPU {run.cpu_s:5.1f} s here and "
                f"{spent:5.1f} s in the server, peak {run.peak_mb:.0f} MB"
            )
        are_equal = found[0] == found[1]
        print(f"  codes are {'equal to the bit' if are_equal else 'DIFFERENT'}")
    return 0 if is_same and are_equal else 1


if __name__ == "__main__":
    sys.exit(main())
