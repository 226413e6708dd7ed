"""NVIDIA's perf_analyzer against a server of ours: does it run, and do both count the same?

The binary ships inside tritonclient 2.50.0; it needs libcudart (the wheel
nvidia-cuda-runtime-cu12) and Debian's libb64-0d. All three are fetched once into
.venv/perf_analyzer, which needs no root. The server keeps no codes (--cache-mb 0), since
perf_analyzer sends the same values again and again; where several callers send them at once,
they still share one pass, so that images a second are more than the network runs.

The laws: each run ends with status 0 and no failed request, and perf_analyzer counted as many
requests as the server tells, but for those at the edges of its windows (5 %, or 16).

Usage: python bench/kserve_perf_analyzer.py [--seconds S] [--print]
"""

import argparse
import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from load.icecore_server import icecore_server

TOOLS = Path(sys.prefix) / "perf_analyzer"
WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12==12.9.79")
LIBRARY = "libb64-0d"
MODEL = "efficientnet-lite0"

RUNS: dict[str, tuple[str, ...]] = {
    "one at a time": (),
    "8 callers": ("--concurrency-range", "8"),
    "8 callers, asynchronous": ("--concurrency-range", "8", "--async"),
    "stream": ("--async", "--streaming"),
    "4 images a request": ("-b", "4"),
    "20 requests a second": ("--request-rate-range", "20"),
    "shared memory": ("--shared-memory", "system", "--output-shared-memory-size", "8192"),
}


def perf_analyzer() -> tuple[Path, dict[str, str]]:
    """Return the binary and its environment, fetched first if they are not there."""
    binary = TOOLS / "bin/perf_analyzer"
    if not binary.exists():
        print(f"fetching perf_analyzer into {TOOLS}", flush=True)
        shutil.rmtree(TOOLS, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", str(TOOLS), *WHEELS], check=True)
        if ctypes.util.find_library("b64") is None and not _has_library():
            subprocess.run(["apt-get", "download", LIBRARY], check=True, cwd=TOOLS)
            (package,) = TOOLS.glob(f"{LIBRARY}*.deb")
            subprocess.run(["dpkg", "-x", str(package), str(TOOLS)], check=True)
        binary.chmod(0o755)
    folders = {path.parent for pattern in ("libcudart.so.*", "libb64.so.*")
               for path in TOOLS.rglob(pattern)}  # fmt: skip
    paths = [*map(str, sorted(folders)), os.environ.get("LD_LIBRARY_PATH", "")]
    return binary, {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}


def _has_library() -> bool:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False)
    return "libb64.so.0d" in known.stdout


def figure(pattern: str, said: str) -> float:
    """Return the last number that follows the words."""
    found = re.findall(rf"{pattern}:? +([\d.]+)", said)
    return float(found[-1]) if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="a measurement window")
    parser.add_argument("--print", action="store_true", help="show what perf_analyzer prints")
    asked = parser.parse_args()
    binary, environment = perf_analyzer()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, {MODEL}, pixels (150 KB an image)\n"
    )
    print(f"{'':24} {'images/s':>9} {'p50 us':>8} {'p99 us':>8} {'queue':>7} {'compute':>8}  law")
    are_met = True
    with (
        tempfile.TemporaryDirectory() as folder,
        icecore_server(Path(folder), "--cache-mb", "0", "--shared-memory") as server,
    ):
        for name, flags in RUNS.items():
            # The spread of a shared machine shall not make it measure for ever.
            steady = ("-p", str(round(asked.seconds * 1e3)), "-s", "900", "-r", "10")
            command = [str(binary), "-m", MODEL, "-u", server.address, "-i", "grpc",
                       *steady, *flags]  # fmt: skip
            ran = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            said = ran.stdout + ran.stderr
            counted = figure("Request count", said)
            answered = figure("Successful request count", said)
            is_alike = abs(answered - counted) <= max(16, 0.05 * counted)
            is_met = ran.returncode == 0 and counted > 0 and is_alike and "ailed" not in said
            are_met &= is_met
            print(
                f"{name:24} {figure('Throughput', said):>9.1f} {figure('p50 latency', said):>8.0f} "
                f"{figure('p99 latency', said):>8.0f} {figure('queue', said):>7.0f} "
                f"{figure('compute infer', said):>8.0f}  {'met' if is_met else 'NOT MET'}",
                flush=True,
            )
            if asked.print or not is_met:
                print(said)
    sys.exit(0 if are_met else 1)


if __name__ == "__main__":
    main()
