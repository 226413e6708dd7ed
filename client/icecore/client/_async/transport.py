"""Sends operations over a channel and awaits. The only module of the async client that talks."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpc import aio

from icecore.client._address import Endpoint
from icecore.client._async.link import Link, link_to
from icecore.client._async.stream import AwaitedStream
from icecore.client._batches import MAX_IN_FLIGHT, Batcher
from icecore.client._channel import NOT_REPEATED
from icecore.client._operations.conversation import Conversation, unanswered
from icecore.client._operations.operation import Operation, Page
from icecore.client._pacing import Met, Pacing
from icecore.client._stream import Stream, bytes_of, reader
from icecore.client._translation import awaited_border
from icecore.client._upload import Upload
from icecore.client._where import Embedded
from icecore.client.errors import ResourceExhausted, Unavailable
from icecore.client.waiting import OnWait

A = TypeVar("A")
T = TypeVar("T")


class Transport:
    """One channel, opened at the first call, of one event loop."""

    def __init__(
        self, where: Endpoint | Embedded, *, timeout_s: float, on_wait: OnWait | None = None
    ) -> None:
        self._where = where
        self.timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self.met = Met(on_wait)
        self._is_closed = False

    async def connect(self) -> Endpoint:
        """Return where the server is; finds or starts it the first time."""
        return (await self._linked()).endpoint

    async def close(self) -> None:
        async with self._lock:
            self._is_closed = True
            if self._link is not None:
                await self._link.close()
                self._link = None

    async def unary(self, operation: Operation[A], timeout_s: float | None = None) -> A:
        """Return the answer to one request; it is sent again as `Pacing` says."""
        timeout = self.timeout_s if timeout_s is None else timeout_s
        pacing = Pacing(timeout, self.met, strange_attempts=1)
        while True:
            try:
                answer = await self.unary_once(operation, pacing.left_s())
            except (Unavailable, ResourceExhausted) as error:
                if operation.path in NOT_REPEATED:
                    raise
                await asyncio.sleep(pacing.wait_s(error))
                continue
            pacing.progress()
            return answer

    async def unary_once(self, operation: Operation[A], timeout_s: float | None) -> A:
        """Return the answer to one request.

        Only gRPC itself sends it again. An embedded server that is gone in spite of that is
        started anew, once.
        """
        link = await self._linked()
        try:
            answer = await self._unary(link, operation, timeout_s)
        except Unavailable:
            if link.is_alive() or operation.path in NOT_REPEATED:
                raise
            answer = await self._unary(await self._linked(), operation, timeout_s)
        return operation.read(answer)

    async def pages(
        self, operation_at: Callable[[str], Operation[Page[A]]], timeout_s: float | None = None
    ) -> AsyncIterator[A]:
        """Yield the items of all pages, each page read when it is needed."""
        token = ""
        while True:
            page = await self.unary(operation_at(token), timeout_s)
            for item in page.items:
                yield item
            token = page.next_token
            if not token:
                return

    async def watch(
        self, operation_after: Callable[[A | None], Operation[A]], timeout_s: float | None
    ) -> AsyncIterator[A]:
        """Yield what one request's stream says; a broken one is opened again."""
        last: A | None = None
        pacing = Pacing(timeout_s, self.met)
        while True:
            operation = operation_after(last)
            link = await self._linked()
            call = None
            try:
                async with awaited_border(operation.path, link.endpoint):
                    call = link.channel.unary_stream(operation.path, bytes_of, reader(operation))(
                        operation.request,
                        timeout=pacing.left_s(),
                        metadata=_metadata(link.endpoint),
                    )
                    async for answer in call:
                        pacing.progress()
                        last = operation.read(answer)
                        yield last
                return
            except (Unavailable, ResourceExhausted) as error:
                await asyncio.sleep(pacing.wait_s(error))
            finally:
                if call is not None:
                    call.cancel()

    async def exchange(
        self, operations: AsyncIterator[Operation[A]], timeout_s: float | None = None
    ) -> AsyncIterator[A]:
        """Yield one answer an operation, in order, over one stream.

        Operations are taken at most MAX_IN_FLIGHT ahead of the answers, and only
        while the caller takes these. After a break of the connection what has no
        answer is sent again over a new one.
        """
        waiting: deque[Operation[A]] = deque()
        pacing = Pacing(timeout_s, self.met)
        stream: AwaitedStream | None = None
        is_complete = False
        try:
            while True:
                while not is_complete and len(waiting) < MAX_IN_FLIGHT:
                    operation = await anext(operations, None)
                    is_complete = operation is None
                    if operation is not None:
                        waiting.append(operation)
                        if stream is not None:
                            stream.send(operation.request)
                if not waiting:
                    if stream is not None:
                        await stream.finish()
                    return
                try:
                    if stream is None:
                        link = await self._linked()
                        stream = AwaitedStream(
                            Stream(link.stream_channel(), link.endpoint, waiting, pacing.left_s())
                        )
                    if is_complete:
                        stream.end()
                    answer = await stream.next()
                except (Unavailable, ResourceExhausted) as error:
                    if stream is not None:
                        stream.close()
                        stream = None
                    await asyncio.sleep(pacing.wait_s(error))
                    continue
                pacing.progress()
                yield waiting.popleft().read(answer)
        finally:
            if stream is not None:
                stream.close()

    async def converse(
        self, conversation: Conversation[A], timeout_s: float | None = None
    ) -> AsyncIterator[A]:
        """Yield the answers to all requests; after a break of the connection from the start.

        The requests carry an id where they change anything, so that nothing is done twice.
        """
        pacing = Pacing(timeout_s, self.met)
        while True:
            link = await self._linked()
            upload = None
            try:
                upload = Upload(link.stream_channel(), link.endpoint, conversation, pacing.left_s())
                while (answer := await asyncio.to_thread(upload.next)) is not None:
                    pacing.progress()
                    yield conversation.read(answer)
                return
            except (Unavailable, ResourceExhausted) as error:
                await asyncio.sleep(pacing.wait_s(error))
            finally:
                if upload is not None:
                    upload.close()

    async def _unary(
        self, link: Link, operation: Operation[Any], timeout_s: float | None
    ) -> Message:
        async with awaited_border(operation.path, link.endpoint):
            call = link.channel.unary_unary(operation.path, bytes_of, reader(operation))
            return await call(
                operation.request, timeout=timeout_s, metadata=_metadata(link.endpoint)
            )

    async def _linked(self) -> Link:
        async with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            if self._link is not None and not self._link.is_alive():
                await self._link.close()
                self._link = None
            if self._link is None:
                self._link = await link_to(self._where)
            return self._link


async def last(conversation: Conversation[A], answers: AsyncIterator[A]) -> A:
    """Return the last answer.

    Raises:
        Internal: there was none.
    """
    answer: A | None = None
    async for answer in answers:  # noqa: B007 - the last is wanted
        pass
    if answer is None:
        raise unanswered(conversation)
    return answer


async def batched(
    things: Iterable[T] | AsyncIterable[T],
    batcher: Batcher[T],
    operation_of: Callable[[list[T]], Operation[A]],
) -> AsyncIterator[Operation[A]]:
    """Yield an operation a batch; what it needs of files is read in a thread."""
    async for thing in each(things):
        for batch in batcher.push(thing):
            yield await asyncio.to_thread(operation_of, batch)
    if rest := batcher.rest():
        yield await asyncio.to_thread(operation_of, rest)


async def each(things: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(things, AsyncIterable):
        async for thing in things:
            yield thing
    else:
        for thing in things:
            yield thing


def _metadata(endpoint: Endpoint) -> aio.Metadata:
    return aio.Metadata(*endpoint.metadata)
