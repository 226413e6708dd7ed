"""What a server tells of itself: log lines, metrics, traces.

Here are the log lines, which everybody writes; `metrics` is imported by those who count.
"""

from icecore.server.telemetry.logs import LOGGER, log, log_fault, log_rpc, log_to

__all__ = ["LOGGER", "log", "log_fault", "log_rpc", "log_to"]
