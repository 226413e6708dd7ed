"""A server, as a process, that takes files for what they are said to be.

    process(data, program=PROGRAM)     # of servers.py

Looking at a file takes a child process and most of a second; some tests bring many files.
"""

import sys
from pathlib import Path
from typing import Any

from adding import believed
from icecore.server.__main__ import main
from icecore.server.rpc.backbone_adding import BackboneAdding

PROGRAM = (str(Path(__file__)),)

if __name__ == "__main__":
    defaults: Any = BackboneAdding.__init__.__kwdefaults__
    defaults["admit"] = believed
    sys.exit(main())
