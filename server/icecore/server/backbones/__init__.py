"""The ice: graphs, their layers, cutting them, running them.

ONNX Runtime's builds from PyPI report usage to their maker (seen with 1.31: a queue
below the user's cache folder) unless this variable is set before the import. What a tenant
runs is nobody else's business, so it is set here, before any module of ours imports it.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
