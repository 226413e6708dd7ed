"""A server, as a process, that gives a file of others 8 s of processor time instead of minutes.

process(data, program=PROGRAM)     # of servers.py
"""

import sys
from pathlib import Path
from typing import Any

from icecore.server.__main__ import main
from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.rpc.backbone_adding import BackboneAdding

PROGRAM = (str(Path(__file__)),)

if __name__ == "__main__":
    defaults: Any = BackboneAdding.__init__.__kwdefaults__
    defaults["limits"] = AdmissionLimits(cpu_s=8)
    sys.exit(main())
