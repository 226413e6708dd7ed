"""MLServer: gRPC in one process, the network in `workers` others (0: in threads of the first).

Images travel as elements of BYTES also where they are tensors: FP32 it would unpack
into a list of floats, 150,528 of them. Its limit on messages is gRPC's 4 MB unless raised.
Started by the driver: serve_mlserver.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

from network import Plan

plan = Plan.read(sys.argv[1])
models = plan.folder / "models"
for name in ("tensor", "jpeg"):
    (models / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "name": name,
        "implementation": "mlserver_runtime.Codes",
        "max_batch_size": plan.max_batch if plan.max_batch > 1 else 0,
        "max_batch_time": plan.max_wait_ms / 1e3,
    }
    (models / name / "model-settings.json").write_text(json.dumps(settings))
(models / "settings.json").write_text(
    json.dumps(
        {
            "debug": False,
            "host": "127.0.0.1",
            "grpc_port": plan.port,
            "http_port": plan.other_port,
            "metrics_port": plan.third_port,
            "metrics_endpoint": None,
            "parallel_workers": plan.workers,
            "grpc_max_message_length": 64 << 20,
            "gzip_enabled": False,
        }
    )
)
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
os.environ["PEER_FOLDER"] = str(plan.folder)
program = str(Path(sys.executable).parent / "mlserver")
os.execv(program, [program, "start", str(models)])  # noqa: S606 - its own program
