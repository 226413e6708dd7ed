"""Plans kept beside the data, so that a backbone is measured once on a machine.

Only a memory of measurements: it may be deleted at any time, and what cannot be read, or was
measured elsewhere, is measured again.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

from icecore.server import telemetry
from icecore.server.embedding.working.plans import Plan

_VERSION: Final = 1
_MOST: Final = 256
_CPUINFO: Final = Path("/proc/cpuinfo")


class PlanFile:
    """The plans measured in one place: a device, ONNX Runtime's version, threads, a processor.

    Args:
        path: of the file, which need not be there.
        place: all that a plan depends on beside its backbone.
    """

    def __init__(self, path: Path, place: str) -> None:
        self._path = path
        self._place = place

    def read(self) -> dict[str, Plan]:
        """Return the plans that hold here, by the digest of their backbone."""
        return {
            digest: plan for digest, (place, plan) in self._all().items() if place == self._place
        }

    def write(self, digest: str, plan: Plan) -> None:
        """Keep a plan; those of the longest ago go. Raises OSError."""
        plans = self._all()
        plans.pop(digest, None)
        plans[digest] = (self._place, plan)
        kept = list(plans.items())[-_MOST:]
        told = {
            "version": _VERSION,
            "plans": {one: {"place": place, **it.to_json()} for one, (place, it) in kept},
        }
        aside = self._path.with_name(self._path.name + ".new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file, indent=1)
        aside.replace(self._path)

    def _all(self) -> dict[str, tuple[str, Plan]]:
        try:
            told: Any = json.loads(self._path.read_text())
            if told["version"] != _VERSION:
                return {}
            found = {}
            for digest, values in told["plans"].items():
                place = values.pop("place")
                found[str(digest)] = (str(place), Plan.from_json(values))
            return found
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            telemetry.log("plans_unreadable", path=str(self._path), error=repr(error))
            return {}


def place(device: str, threads: int) -> str:
    """Return what plans depend on, as one line."""
    return f"{device}, {threads} threads, {_processor()}"


def _processor() -> str:
    """The processor's name as Linux tells it; "" where it does not."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
