"""A server that many backbones came to and went from holds no more memory than before.

`bench/backbone_cycles.py` is the long form, with files looked at.
"""

from pathlib import Path
from statistics import median

from believing_server import PROGRAM
from callers import calling
from cycles import cycle, resident_mb
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.storage.opening import open_sqlite
from servers import process
from toy_store import put_toy_backbone

WARM_UP, CYCLES = 32, 56
SEEN = 5
"""Figures that a median is of: one alone moves with what is being freed."""


def test_backbones_that_come_and_go_leave_nothing_in_memory(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "data")
    put_toy_backbone(store, name=efficientnet_lite0.NAME)  # the real one takes a while to build
    store.close()
    held = []
    with (
        process(tmp_path / "data", program=PROGRAM) as server,
        calling(server.address, server.admin_key) as admin,
        calling(server.address) as tenant,
    ):
        assert server.child is not None
        for seed in range(CYCLES):
            cycle(admin, tenant, seed)
            held.append(resident_mb(server.child.pid))
    before, after = median(held[WARM_UP : WARM_UP + SEEN]), median(held[-SEEN:])
    print(f"{before:.1f} MB after {WARM_UP} cycles, {after:.1f} MB after {CYCLES}")
    assert after < 1.05 * before
