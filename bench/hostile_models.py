"""What hostile ONNX files do to a server: every one that the tests know, and honest ones too.

One server process with the default backbone, which gives a file 8 s of processor time. An
administrator adds file after file while a tenant embeds one photo-sized image after another.
Prints, a file, how it was answered and how long that took; then the tenant's latency alone and
beside, and how much the server grew. Honest files (the default's graph and all in
../shared/models) are looked at afterwards, one by one.

Usage: python bench/hostile_models.py [--only WORDS]
"""

import argparse
import lzma
import os
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from adding import add_backbone  # noqa: E402 - found through the path above
from beside import embed_ms, embedding, forget_peak, peak_mb  # noqa: E402
from callers import Caller, calling, refusal  # noqa: E402
from hasty_server import PROGRAM  # noqa: E402
from hostile_graphs import HOSTILE  # noqa: E402
from icecore.server.backbones.admission.admitting import admit  # noqa: E402
from icecore.server.backbones.lite0 import efficientnet_lite0  # noqa: E402
from servers import Server, process  # noqa: E402

SIZE = 224
N_ALONE = 10


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only files with these words in their names")
    names = [name for name in HOSTILE if parser.parse_args().only in name]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{date.today()}, {machine}\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        process(Path(folder) / "data", program=PROGRAM) as server,
        calling(server.address, server.admin_key) as admin,
        calling(server.address) as tenant,
    ):
        hostile(server, admin, tenant, names)
    honest()
    return 0


def hostile(server: Server, admin: Caller, tenant: Caller, names: list[str]) -> None:
    """Add each; the tenant embeds alone before it and beside it."""
    assert server.child is not None
    embed_ms(tenant, n=N_ALONE, size=SIZE)
    before = forget_peak(server.child.pid)
    alone: list[float] = []
    beside: list[float] = []
    print(f"{'file':<42} {'bytes':>9} {'s':>6}  answer")
    for name in names:
        data = HOSTILE[name].make()
        alone += embed_ms(tenant, n=N_ALONE, size=SIZE)
        start = perf_counter()
        with embedding(tenant, size=SIZE) as took:
            said = refusal(lambda data=data: add_backbone(admin, "hostile", data))  # type: ignore[misc]
        beside += took
        assert said.code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), f"{name}: {said}"
        seconds = perf_counter() - start
        print(f"{name:<42} {len(data):>9,} {seconds:>6.2f}  {said.reason}: {said.message}")
    print(
        f"\n{len(names)} files, all refused; the server grew by at most "
        f"{peak_mb(server.child.pid) - before:.1f} MB over {before:.0f} MB"
    )
    for what, took in (("alone", alone), ("beside", beside)):
        p95 = quantiles(took, n=20)[-1]
        print(f"{what:<8} {len(took):>6} embeds: median {median(took):6.2f} ms, 95 % {p95:6.2f} ms")


def honest() -> None:
    """How long a look takes at files that are let in."""
    print(f"\n{'honest file':<28} {'MB':>6} {'s':>6}")
    files = {efficientnet_lite0.NAME: efficientnet_lite0.build(efficientnet_lite0.read_weights())}
    for path in sorted((ROOT.parent / "shared" / "models").glob("*.onnx*")):
        data = path.read_bytes()
        files[path.name] = lzma.decompress(data) if path.suffix == ".xz" else data
    for name, data in files.items():
        start = perf_counter()
        admit(data)
        print(f"{name:<28} {len(data) / 1e6:>6.1f} {perf_counter() - start:>6.2f}")


if __name__ == "__main__":
    sys.exit(main())
