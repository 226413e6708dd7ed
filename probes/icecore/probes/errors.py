"""What can go wrong with probes, as a tree.

    ProbesError
    ├── InputInvalid         an argument that is wrong whatever the data
    │   ├── CodesInvalid     no matrix, not finite, not as wide as the probe
    │   └── LabelsInvalid    not one label (or group) an image
    ├── CannotLearn          right arguments, but nothing to learn from
    │   ├── ClassesTooFew    one class only, or none
    │   └── ClassTooSmall    a class with a single image
    ├── TapMismatch          codes of another tap
    └── ProbeFileInvalid     bytes that are no probe file, or a broken one

Each has a stable `reason` for programs, in the words of `icecore.wire.reasons`
(not imported: this package imports nothing of ours); the message is a sentence.
"""

from typing import ClassVar


class ProbesError(Exception):
    """The root."""

    reason: ClassVar[str] = "INTERNAL"


class InputInvalid(ProbesError):
    reason = "ARGUMENT_INVALID"


class CodesInvalid(InputInvalid):
    reason = "CODES_INVALID"


class LabelsInvalid(InputInvalid):
    reason = "ARGUMENT_INVALID"


class CannotLearn(ProbesError):
    reason = "CLASSES_TOO_FEW"


class ClassesTooFew(CannotLearn):
    reason = "CLASSES_TOO_FEW"


class ClassTooSmall(CannotLearn):
    reason = "CLASS_TOO_SMALL"


class TapMismatch(ProbesError):
    reason = "TAP_MISMATCH"


class ProbeFileInvalid(ProbesError):
    """`reason` is that of the store, since that is where probe files are kept."""

    reason = "STORAGE_CORRUPT"
