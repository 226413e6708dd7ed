"""The way of one batch from images to codes: what is sent, waited for, sent again in parts.

It neither sends nor waits; the clients do, and tell it what came of that.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from icecore.client._bulk.plan import BulkPlan, Numbered, Part
from icecore.client._operations.operation import Operation
from icecore.client._operations.places import image_message
from icecore.client.bulk_values import FILE_UNREADABLE, CodesBatch, RefusedImage
from icecore.client.errors import (
    DeadlineExceeded,
    IcecoreError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from icecore.v1 import common_pb2
from icecore.wire.codes import Codes
from icecore.wire.reasons import Reason

IMAGE_FAULTS = frozenset(
    (Reason.IMAGE_INVALID, Reason.IMAGE_TRUNCATED, Reason.IMAGE_TOO_LARGE, Reason.TENSOR_INVALID)
)
"""Reasons that are about one image, whatever the others are."""

_TOO_MANY = frozenset((Reason.IMAGES_TOO_MANY, Reason.MESSAGE_TOO_LARGE))


@dataclass(frozen=True, slots=True)
class Send:
    """Call this. `left_s` is how long all images may still take; None does not bound them."""

    operation: Operation[list[Codes]]
    left_s: float | None

    def timeout_s(self, usual: float) -> float:
        """Return the deadline of the call: the usual one, or what is left of the time."""
        return usual if self.left_s is None else min(usual, self.left_s)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


Step: TypeAlias = Send | Wait | CodesBatch
"""What is to be done next; at last the codes."""

Told: TypeAlias = list[Codes] | IcecoreError | None


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """Images that were read, and the call that holds them: the only copy there is."""

    images: Part
    call: Operation[list[Codes]]

    def __len__(self) -> int:
        return len(self.images)


class Course:
    """One batch. `next` is called with what came of the step before."""

    def __init__(self, plan: BulkPlan, images: Part) -> None:
        self._plan = plan
        self._refused: list[RefusedImage] = []
        self._steps = self._run(images)

    def next(self, told: Told = None) -> Step:
        """Return the next step; files are read here.

        Raises:
            IcecoreError: what nothing can be done about, or with on_error="raise" any
                image that is refused.
            OSError: likewise a file that cannot be read.
        """
        try:
            return self._steps.send(told)
        except StopIteration as end:
            batch: CodesBatch = end.value
            return batch

    def _run(self, images: Part) -> Generator[Send | Wait, Told, CodesBatch]:
        parts = deque([self._read(images)])
        indices: list[int] = []
        answers: list[list[Codes]] = []
        while parts:
            part = parts.popleft()
            if not part.images:
                continue
            if len(part) > self._plan.largest:
                parts.extendleft(reversed(self._cut(part, self._plan.largest)))
                continue
            told = yield from self._sent(part.call)
            if isinstance(told, IcecoreError):
                parts.extendleft(reversed(self._after(told, part)))
                continue
            self._plan.checked(told, len(part))
            indices += [one.index for one in part.images]
            answers.append(told)
        self._refused.sort(key=lambda one: one.index)
        return CodesBatch(tuple(indices), _joined(answers), tuple(self._refused))

    def _sent(
        self, call: Operation[list[Codes]]
    ) -> Generator[Send | Wait, Told, list[Codes] | IcecoreError]:
        """Return the answer, or an error that waiting does not mend."""
        patience = self._plan.patience
        n_failures = 0
        while True:
            told = yield Send(call, patience.left_s())
            if isinstance(told, Unavailable):
                n_failures += 1
                yield Wait(patience.while_away_s(told, n_failures))
                continue
            if not isinstance(told, DeadlineExceeded):
                patience.answered()
                n_failures = 0
            if isinstance(told, ResourceExhausted) and told.retry_after_s is not None:
                yield Wait(patience.while_full_s(told))
                continue
            if told is None:
                raise TypeError("a call came to nothing")
            return told

    def _read(self, images: Part) -> _Read:
        """Return the images that can be read."""
        good: list[Numbered] = []
        messages: list[common_pb2.Image] = []
        for one in images:
            try:
                image = one.image
                if self._plan.scaler is not None:
                    image = self._plan.scaler.scaled(image)
                messages.append(image_message(image, one.name))
            except OSError as error:
                if self._plan.raises:
                    raise
                why = (error.strerror or str(error)).lower()
                self._refuse(one, FILE_UNREADABLE, f"{one.name} cannot be read: {why}")
            except InvalidArgument as error:
                if self._plan.raises or error.reason not in IMAGE_FAULTS:
                    raise
                self._refuse(one, error.reason, error.message)
            else:
                good.append(one)
        return _Read(good, self._plan.embed.embed_messages(messages))

    def _after(self, error: IcecoreError, part: _Read) -> list[_Read]:
        """Return in which parts the images are sent again, one of them refused perhaps."""
        if error.reason in IMAGE_FAULTS and isinstance(error, InvalidArgument):
            place = _place(error, len(part))
            if place is None:
                return self._halves(part)
            one = part.images[place]
            told = one.name + _what(error.message, place)
            if self._plan.raises:
                raise type(error)(told, reason=error.reason, details=error.details) from error
            self._refuse(one, error.reason, told)
            others = [other for other in range(len(part)) if other != place]
            return [self._some(part, others)]
        if self._is_too_much(error):
            if len(part) > 1:
                self._plan.smaller(len(part))
                return self._halves(part)
            if error.reason == Reason.MESSAGE_TOO_LARGE and not self._plan.raises:
                [one] = part.images
                self._refuse(one, error.reason, f"{one.name}: {error.message}")
                return []
        raise error

    def _halves(self, part: _Read) -> list[_Read]:
        return self._cut(part, (len(part) + 1) // 2)

    def _cut(self, part: _Read, size: int) -> list[_Read]:
        places = range(len(part))
        return [self._some(part, places[start : start + size]) for start in places[::size]]

    def _some(self, part: _Read, places: Sequence[int]) -> _Read:
        request: Any = part.call.request
        messages = [request.images[place] for place in places]
        return _Read(
            [part.images[place] for place in places], self._plan.embed.embed_messages(messages)
        )

    @staticmethod
    def _is_too_much(error: IcecoreError) -> bool:
        """Whether fewer images might do: more than a call or a quota takes, or than are done
        in time."""
        is_quota = error.reason == Reason.IMAGES_IN_FLIGHT_EXCEEDED
        return error.reason in _TOO_MANY or is_quota or isinstance(error, DeadlineExceeded)

    def _refuse(self, one: Numbered, reason: str, message: str) -> None:
        self._refused.append(RefusedImage(one.index, one.path, str(reason), message))


def _place(error: IcecoreError, n_images: int) -> int | None:
    """Return which image it was, as the server says or as there is one only."""
    if n_images == 1:
        return 0
    text = error.details.get("image", "")
    return int(text) if text.isdecimal() and int(text) < n_images else None


def _what(message: str, place: int) -> str:
    """Return the server's sentence without the name that it has for the image."""
    for called in (f"image {place}", "the image"):
        if message.startswith((f"{called} ", f"{called}: ")):
            return message.removeprefix(called)
    return f": {message}"


def _joined(answers: Sequence[Sequence[Codes]]) -> tuple[Codes, ...]:
    if len(answers) == 1:
        return tuple(answers[0])
    return tuple(Codes.concatenate(of_one) for of_one in zip(*answers, strict=True))
