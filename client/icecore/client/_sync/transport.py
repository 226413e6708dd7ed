"""Sends operations over a channel and waits. The only module of the sync client that talks."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from icecore.client._address import Endpoint
from icecore.client._batches import MAX_IN_FLIGHT, Batcher
from icecore.client._channel import NOT_REPEATED
from icecore.client._operations.conversation import Conversation, unanswered
from icecore.client._operations.operation import Operation, Page
from icecore.client._pacing import Met, Pacing
from icecore.client._stream import Stream, bytes_of, reader
from icecore.client._sync.held import Held
from icecore.client._sync.link import Link, link_to
from icecore.client._translation import border
from icecore.client._upload import Upload
from icecore.client._where import Embedded
from icecore.client.errors import ResourceExhausted, Unavailable
from icecore.client.waiting import OnWait

A = TypeVar("A")
T = TypeVar("T")


class Transport:
    """One channel, opened at the first call and used by any number of threads."""

    def __init__(
        self, where: Endpoint | Embedded, *, timeout_s: float, on_wait: OnWait | None = None
    ) -> None:
        self._where = where
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._link: Link | None = None
        self.met = Met(on_wait)
        self._is_closed = False

    def connect(self) -> Endpoint:
        """Return where the server is; finds or starts it the first time."""
        return self._linked().endpoint

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._link is not None:
                self._link.close()
                self._link = None

    def unary(self, operation: Operation[A], timeout_s: float | None = None) -> A:
        """Return the answer to one request; it is sent again as `Pacing` says."""
        timeout = self.timeout_s if timeout_s is None else timeout_s
        pacing = Pacing(timeout, self.met, strange_attempts=1)
        while True:
            try:
                answer = self.unary_once(operation, pacing.left_s())
            except (Unavailable, ResourceExhausted) as error:
                if operation.path in NOT_REPEATED:
                    raise
                time.sleep(pacing.wait_s(error))
                continue
            pacing.progress()
            return answer

    def unary_once(
        self,
        operation: Operation[A],
        timeout_s: float | None,
        *,
        held: Held | None = None,
    ) -> A:
        """Return the answer to one request, which another thread may give up by way of `held`.

        Only gRPC itself sends it again. An embedded server that is gone in spite of that is
        started anew, once.
        """
        link = self._linked()
        try:
            answer = self._unary(link, operation, timeout_s, held)
        except Unavailable:
            if link.is_alive() or operation.path in NOT_REPEATED:
                raise
            answer = self._unary(self._linked(), operation, timeout_s, held)
        return operation.read(answer)

    def pages(
        self, operation_at: Callable[[str], Operation[Page[A]]], timeout_s: float | None = None
    ) -> Iterator[A]:
        """Yield the items of all pages, each page read when it is needed."""
        token = ""
        while True:
            page = self.unary(operation_at(token), timeout_s)
            yield from page.items
            token = page.next_token
            if not token:
                return

    def watch(
        self, operation_after: Callable[[A | None], Operation[A]], timeout_s: float | None
    ) -> Iterator[A]:
        """Yield what one request's stream says; a broken one is opened again."""
        last: A | None = None
        pacing = Pacing(timeout_s, self.met)
        while True:
            operation = operation_after(last)
            link = self._linked()
            call = None
            try:
                with border(operation.path, link.endpoint):
                    call = link.channel.unary_stream(operation.path, bytes_of, reader(operation))(
                        operation.request,
                        timeout=pacing.left_s(),
                        metadata=link.endpoint.metadata,
                    )
                    for answer in call:
                        pacing.progress()
                        last = operation.read(answer)
                        yield last
                return
            except (Unavailable, ResourceExhausted) as error:
                time.sleep(pacing.wait_s(error))
            finally:
                if call is not None:
                    call.cancel()

    def exchange(
        self, operations: Iterable[Operation[A]], timeout_s: float | None = None
    ) -> Iterator[A]:
        """Yield one answer an operation, in order, over one stream.

        Operations are taken in the caller's thread, at most MAX_IN_FLIGHT ahead of
        the answers, and only while the caller takes these. After a break of the
        connection what has no answer is sent again over a new one.
        """
        source = iter(operations)
        waiting: deque[Operation[A]] = deque()
        pacing = Pacing(timeout_s, self.met)
        stream: Stream | None = None
        is_complete = False
        try:
            while True:
                while not is_complete and len(waiting) < MAX_IN_FLIGHT:
                    operation = next(source, None)
                    is_complete = operation is None
                    if operation is not None:
                        waiting.append(operation)
                        if stream is not None:
                            stream.send(operation.request)
                if not waiting:
                    if stream is not None:
                        stream.finish()
                    return
                try:
                    if stream is None:
                        link = self._linked()
                        stream = Stream(link.channel, link.endpoint, waiting, pacing.left_s())
                    if is_complete:
                        stream.end()
                    answer = stream.next()
                except (Unavailable, ResourceExhausted) as error:
                    if stream is not None:
                        stream.close()
                        stream = None
                    time.sleep(pacing.wait_s(error))
                    continue
                pacing.progress()
                yield waiting.popleft().read(answer)
        finally:
            if stream is not None:
                stream.close()

    def converse(
        self, conversation: Conversation[A], timeout_s: float | None = None
    ) -> Iterator[A]:
        """Yield the answers to all requests; after a break of the connection from the start.

        The requests carry an id where they change anything, so that nothing is done twice.
        """
        pacing = Pacing(timeout_s, self.met)
        while True:
            link = self._linked()
            upload = None
            try:
                upload = Upload(link.channel, link.endpoint, conversation, pacing.left_s())
                while (answer := upload.next()) is not None:
                    pacing.progress()
                    yield conversation.read(answer)
                return
            except (Unavailable, ResourceExhausted) as error:
                time.sleep(pacing.wait_s(error))
            finally:
                if upload is not None:
                    upload.close()

    def _unary(
        self, link: Link, operation: Operation[Any], timeout_s: float | None, held: Held | None
    ) -> Message:
        with border(operation.path, link.endpoint):
            call = link.channel.unary_unary(operation.path, bytes_of, reader(operation))
            begin = call if held is None else held.until_done(call)
            return begin(operation.request, timeout=timeout_s, metadata=link.endpoint.metadata)

    def _linked(self) -> Link:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            if self._link is not None and not self._link.is_alive():
                self._link.close()
                self._link = None
            if self._link is None:
                self._link = link_to(self._where)
            return self._link


def last(conversation: Conversation[A], answers: Iterable[A]) -> A:
    """Return the last answer.

    Raises:
        Internal: there was none.
    """
    answer: A | None = None
    for answer in answers:  # noqa: B007 - the last is wanted
        pass
    if answer is None:
        raise unanswered(conversation)
    return answer


def batched(
    things: Iterable[T], batcher: Batcher[T], operation_of: Callable[[list[T]], Operation[A]]
) -> Iterator[Operation[A]]:
    """Yield an operation a batch; what it needs of files is read in `operation_of`."""
    for thing in things:
        for batch in batcher.push(thing):
            yield operation_of(batch)
    if rest := batcher.rest():
        yield operation_of(rest)
