"""What can go wrong in the server, as a tree.

    IcecoreError
    ├── InvalidArgument      the caller's argument is wrong, whatever the state
    ├── NotFound             the thing named is not there (for this tenant)
    ├── AlreadyExists
    ├── FailedPrecondition   the call is right, but not in this state
    ├── Unauthenticated      no key, or one that nobody has
    ├── PermissionDenied     a key that may not do this
    ├── ResourceExhausted    full: queue, disk
    ├── Unavailable          not now; the same call may succeed later
    ├── DeadlineExceeded     the caller's time was over before anything was done
    ├── Unimplemented
    └── Internal             our fault

Each leaf has a stable reason for programs; the message is a sentence for
people. `rpc/status.py` alone turns them into gRPC statuses.
"""

from typing import ClassVar

from icecore.wire.reasons import Reason


class IcecoreError(Exception):
    """The root. `details` are short strings sent along with the reason."""

    reason: ClassVar[Reason] = Reason.INTERNAL

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidArgument(IcecoreError):
    reason = Reason.ARGUMENT_INVALID


class NotFound(IcecoreError):
    pass


class AlreadyExists(IcecoreError):
    pass


class FailedPrecondition(IcecoreError):
    pass


class Unauthenticated(IcecoreError):
    pass


class PermissionDenied(IcecoreError):
    pass


class ResourceExhausted(IcecoreError):
    """`retry_after_s`: when the same call may be taken; None where a retry is of no use."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, **details: str) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class Unavailable(IcecoreError):
    pass


class DeadlineExceeded(IcecoreError):
    reason = Reason.DEADLINE_EXCEEDED


class Unimplemented(IcecoreError):
    reason = Reason.NOT_IMPLEMENTED


class Internal(IcecoreError):
    pass


class NameInvalid(InvalidArgument):
    reason = Reason.NAME_INVALID


class RequestIdInvalid(InvalidArgument):
    reason = Reason.REQUEST_ID_INVALID


class RequestIdReused(InvalidArgument):
    reason = Reason.REQUEST_ID_REUSED


class PoolingInvalid(InvalidArgument):
    reason = Reason.POOLING_INVALID


class DTypeInvalid(InvalidArgument):
    reason = Reason.DTYPE_INVALID


class DTypeOverflow(InvalidArgument):
    reason = Reason.DTYPE_OVERFLOW


class ImagesEmpty(InvalidArgument):
    reason = Reason.IMAGES_EMPTY


class ImagesTooMany(InvalidArgument):
    reason = Reason.IMAGES_TOO_MANY


class ImageInvalid(InvalidArgument):
    reason = Reason.IMAGE_INVALID


class ImageTruncated(InvalidArgument):
    reason = Reason.IMAGE_TRUNCATED


class ImageTooLarge(InvalidArgument):
    reason = Reason.IMAGE_TOO_LARGE


class TensorInvalid(InvalidArgument):
    reason = Reason.TENSOR_INVALID


class CodesInvalid(InvalidArgument):
    reason = Reason.CODES_INVALID


class IdDuplicate(InvalidArgument):
    reason = Reason.ID_DUPLICATE


class MetadataInvalid(InvalidArgument):
    reason = Reason.METADATA_INVALID


class PriorityInvalid(InvalidArgument):
    reason = Reason.PRIORITY_INVALID


class QuotaInvalid(InvalidArgument):
    reason = Reason.QUOTA_INVALID


class FilterInvalid(InvalidArgument):
    reason = Reason.FILTER_INVALID


class KInvalid(InvalidArgument):
    reason = Reason.K_INVALID


class PageInvalid(InvalidArgument):
    reason = Reason.PAGE_INVALID


class RecipeInvalid(InvalidArgument):
    reason = Reason.RECIPE_INVALID


class GraphInvalid(InvalidArgument):
    reason = Reason.GRAPH_INVALID


class CalibrationInvalid(InvalidArgument):
    """Too few images, or none that tell anything."""

    reason = Reason.CALIBRATION_INVALID


class RegionInvalid(InvalidArgument):
    """Shared memory that cannot be had, or not so much of it."""

    reason = Reason.REGION_INVALID


class BackboneNotFound(NotFound):
    reason = Reason.BACKBONE_NOT_FOUND


class LayerNotFound(NotFound):
    reason = Reason.LAYER_NOT_FOUND


class CollectionNotFound(NotFound):
    reason = Reason.COLLECTION_NOT_FOUND


class ExampleNotFound(NotFound):
    reason = Reason.EXAMPLE_NOT_FOUND


class ProbeNotFound(NotFound):
    reason = Reason.PROBE_NOT_FOUND


class VersionNotFound(NotFound):
    reason = Reason.VERSION_NOT_FOUND


class TenantNotFound(NotFound):
    reason = Reason.TENANT_NOT_FOUND


class KeyNotFound(NotFound):
    reason = Reason.KEY_NOT_FOUND


class RegionNotFound(NotFound):
    reason = Reason.REGION_NOT_FOUND


class CollectionExists(AlreadyExists):
    reason = Reason.COLLECTION_EXISTS


class ExampleExists(AlreadyExists):
    reason = Reason.EXAMPLE_EXISTS


class TenantExists(AlreadyExists):
    reason = Reason.TENANT_EXISTS


class RegionExists(AlreadyExists):
    reason = Reason.REGION_EXISTS


class TapMismatch(FailedPrecondition):
    reason = Reason.TAP_MISMATCH


class ImagesNotKept(FailedPrecondition):
    reason = Reason.IMAGES_NOT_KEPT


class CollectionEmpty(FailedPrecondition):
    reason = Reason.COLLECTION_EMPTY


class ClassesTooFew(FailedPrecondition):
    reason = Reason.CLASSES_TOO_FEW


class ClassTooSmall(FailedPrecondition):
    reason = Reason.CLASS_TOO_SMALL


class ProbeNotPromoted(FailedPrecondition):
    reason = Reason.PROBE_NOT_PROMOTED


class PromotionConflict(FailedPrecondition):
    reason = Reason.PROMOTION_CONFLICT


class VersionNotReady(FailedPrecondition):
    reason = Reason.VERSION_NOT_READY


class VersionInUse(FailedPrecondition):
    reason = Reason.VERSION_IN_USE


class VersionWorse(FailedPrecondition):
    """It may be worse than the promoted one by more than was allowed."""

    reason = Reason.VERSION_WORSE


class VersionNotComparable(FailedPrecondition):
    """There is no image that both of two versions can be judged on."""

    reason = Reason.VERSION_NOT_COMPARABLE


class FolderInUse(FailedPrecondition):
    reason = Reason.FOLDER_IN_USE


class BackboneInUse(FailedPrecondition):
    reason = Reason.BACKBONE_IN_USE


class BackboneNotFloat(FailedPrecondition):
    """Only a float32 backbone can be quantised."""

    reason = Reason.BACKBONE_NOT_FLOAT


class StorageTooNew(FailedPrecondition):
    reason = Reason.STORAGE_TOO_NEW


class SharedMemoryOff(FailedPrecondition):
    """Shared memory is not served here, or not to this caller."""

    reason = Reason.SHARED_MEMORY_OFF


class KeyRequired(Unauthenticated):
    reason = Reason.KEY_REQUIRED


class KeyUnknown(Unauthenticated):
    reason = Reason.KEY_UNKNOWN


class AdminRequired(PermissionDenied):
    reason = Reason.ADMIN_REQUIRED


class TenantKeyRequired(PermissionDenied):
    reason = Reason.TENANT_KEY_REQUIRED


class Overloaded(ResourceExhausted):
    """Full for now: the same call is taken later, so it says when."""

    reason = Reason.OVERLOADED

    def __init__(self, message: str, *, retry_after_s: float, **details: str) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **details)


class RateLimited(ResourceExhausted):
    """More images a second than the tenant's quota."""

    reason = Reason.RATE_LIMITED


class ImagesInFlightExceeded(ResourceExhausted):
    """More images at once than the tenant's quota."""

    reason = Reason.IMAGES_IN_FLIGHT_EXCEEDED


class StorageQuotaExceeded(ResourceExhausted):
    """More bytes in the store than the tenant's quota."""

    reason = Reason.STORAGE_QUOTA_EXCEEDED


class MessageTooLarge(ResourceExhausted):
    reason = Reason.MESSAGE_TOO_LARGE


class GraphTooLarge(ResourceExhausted):
    reason = Reason.GRAPH_TOO_LARGE


class GraphTooCostly(ResourceExhausted):
    """Loading or running it takes more memory or time than is allowed."""

    reason = Reason.GRAPH_TOO_COSTLY


class StorageFull(ResourceExhausted):
    reason = Reason.STORAGE_FULL


class StorageCorrupt(Internal):
    reason = Reason.STORAGE_CORRUPT


class TrainingFailed(Internal):
    reason = Reason.TRAINING_FAILED


class ShuttingDown(Unavailable):
    reason = Reason.SHUTTING_DOWN


def forget_frames(error: BaseException) -> None:
    """Take away the error's traceback, whose frames hold messages, images and codes.

    For errors that are told to a caller or logged already. A future keeps its error, and
    gRPC the one that ends a call, in cycles that only the garbage collector breaks, many
    calls later: until then each refused message of 60 MB held 130 MB.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]
