"""ONNX Runtime reports usage by default; icecore lets it report nothing."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from icecore.server.backbones.running.sessions import Sessions
from toys import toy_backbone
import numpy as np
backbone = toy_backbone()
taps = [backbone.tap(backbone.layer("-1"))]
Sessions(max_bytes=1 << 20, threads=1).run(backbone, taps, np.ones((1, 3, 8, 8), np.float32))
"""


def test_running_a_network_leaves_nothing_to_report(tmp_path: Path) -> None:
    """Its reports are queued in files below the home folder before they are sent."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "ORT_DISABLE_TELEMETRY" and not name.startswith("XDG_")
    }
    tests = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", PROGRAM, tests],
        check=True,
        env={**environment, "HOME": str(tmp_path)},
    )
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert not left, f"something was written for a report: {left}"
