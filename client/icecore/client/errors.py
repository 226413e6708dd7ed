"""What can go wrong in a call, as a tree.

    IcecoreError
    ├── InvalidArgument      an argument is wrong, whatever the state
    ├── NotFound             the thing named is not there (for this tenant)
    ├── AlreadyExists
    ├── FailedPrecondition   the call is right, but not in this state
    ├── Unauthenticated      no key, or one that nobody has
    ├── PermissionDenied     a key that may not do this
    ├── ResourceExhausted    full: queue, disk, message size
    ├── Unavailable          not now; the same call may succeed later
    ├── DeadlineExceeded     no answer in time; the server may have done it nevertheless
    ├── Cancelled
    ├── Unimplemented        this server does not do that
    ├── Internal             the server's fault
    ├── TrainingFailed       the version trained to no good end; it is in `.version`
    └── LocalServerError     the data folder's server cannot be found or started

Files that cannot be read raise OSError as ever.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from icecore.client.probe_values import ProbeVersion


class IcecoreError(Exception):
    """The root. The message is one sentence for people.

    `reason` is the stable word for programs, such as `LAYER_NOT_FOUND`
    (`icecore.wire.reasons.Reason`), or the status' name where the network and
    not the server failed. `details` are the short strings sent along with it.
    """

    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self, message: str, *, reason: str = "", details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.details = dict(details or {})


class InvalidArgument(IcecoreError):
    """An argument is wrong, whatever the state."""

    default_reason = "ARGUMENT_INVALID"


class NotFound(IcecoreError):
    """The thing named is not there, for this tenant."""

    default_reason = "NOT_FOUND"


class AlreadyExists(IcecoreError):
    """The name is taken."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(IcecoreError):
    """The call is right, but not in this state."""

    default_reason = "FAILED_PRECONDITION"


class Unauthenticated(IcecoreError):
    """There is no key, or one that nobody has."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(IcecoreError):
    """The key may not do this."""

    default_reason = "PERMISSION_DENIED"


class ResourceExhausted(IcecoreError):
    """Something is full: the queue, the disk, a message.

    `retry_after_s` is when the same call may be taken, as the server says; None
    where it does not say so or a retry is of no use.
    """

    default_reason = "RESOURCE_EXHAUSTED"
    retry_after_s: float | None = None


class Unavailable(IcecoreError):
    """Not now; the same call may succeed later."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(IcecoreError):
    """There was no answer in time; the server may have done it nevertheless."""

    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(IcecoreError):
    """The call was given up before its end."""

    default_reason = "CANCELLED"


class Unimplemented(IcecoreError):
    """This server does not do that."""

    default_reason = "NOT_IMPLEMENTED"


class Internal(IcecoreError):
    """The server's fault; its log tells more."""

    default_reason = "INTERNAL"


class TrainingFailed(IcecoreError):
    """Training that was waited for ended FAILED or CANCELLED."""

    default_reason = "TRAINING_FAILED"
    version: "ProbeVersion"


class LocalServerError(IcecoreError):
    """The data folder's server cannot be found or started."""

    default_reason = "LOCAL_SERVER"


INSECURE_TRANSPORT = "INSECURE_TRANSPORT"
"""Reason of InvalidArgument: a key would travel unencrypted."""

TLS_WANTED = "TLS_WANTED"
"""Reason of Unavailable: a server is there that speaks TLS, which this client was not told to."""

TLS_NOT_SPOKEN = "TLS_NOT_SPOKEN"
"""Reason of Unavailable: a server is there that does not speak TLS, as this client was told to."""

FOLDER_UNUSABLE = "FOLDER_UNUSABLE"
"""Reason of LocalServerError: the data folder cannot be made."""

FOLDER_NEW = "FOLDER_NEW"
"""Reason of a `Waiting`: a data folder is made, and a server started there."""

SERVER_REFUSED = "SERVER_REFUSED"
"""Reason of LocalServerError: the server started here says that the mistake is its caller's."""
