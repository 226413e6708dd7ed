"""Drives the batches of `AsyncClient.embed_many`, each in a task of its own."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from icecore.client._async.transport import Transport, each
from icecore.client._bulk.course import Course, Send, Told, Wait
from icecore.client._bulk.plan import BulkPlan, Numbered, Part
from icecore.client._operations.backbones import backbone as backbone_operation
from icecore.client.bulk_values import CodesBatch
from icecore.client.errors import IcecoreError
from icecore.client.input_values import ImageInput


async def embed_many(
    transport: Transport, images: Iterable[ImageInput] | AsyncIterable[ImageInput], plan: BulkPlan
) -> AsyncIterator[CodesBatch]:
    """Yield the codes of one batch after another; leaving early gives up what is under way.

    Images are taken in the event loop, files read in threads.
    """
    if plan.downscales:
        plan.scale_for(await transport.unary(backbone_operation(plan.backbone)))
    under_way: deque[asyncio.Task[CodesBatch]] = deque()
    try:
        async for part in _batches(images, plan):
            under_way.append(asyncio.create_task(_drive(transport, Course(plan, part))))
            while batch := await _ready(under_way, plan, at_most=plan.in_flight - 1):
                yield batch
        while batch := await _ready(under_way, plan, at_most=0):
            yield batch
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _batches(
    images: Iterable[ImageInput] | AsyncIterable[ImageInput], plan: BulkPlan
) -> AsyncIterator[Part]:
    batcher = plan.batcher()
    index = 0
    async for image in each(images):
        for full in batcher.push(Numbered(index, image)):
            yield full
        index += 1
    if rest := batcher.rest():
        yield rest


async def _ready(
    under_way: deque[asyncio.Task[CodesBatch]], plan: BulkPlan, *, at_most: int
) -> CodesBatch | None:
    """Return a batch that is done, waiting for it if more than so many are under way."""
    if not under_way:
        return None
    is_room = len(under_way) <= at_most
    if not plan.in_order:
        done, _ = await asyncio.wait(
            under_way, timeout=0 if is_room else None, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            return None
        under_way.rotate(-next(i for i, one in enumerate(under_way) if one in done))
    elif is_room and not under_way[0].done():
        return None
    # Taken out when it is done, so that a caller who leaves meanwhile cancels it too.
    batch = await under_way[0]
    under_way.popleft()
    return plan.told(batch)


async def _drive(transport: Transport, course: Course) -> CodesBatch:
    told: Told = None
    while True:
        step = await asyncio.to_thread(course.next, told)
        if isinstance(step, CodesBatch):
            return step
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            told = None
            continue
        told = await _call(transport, step)


async def _call(transport: Transport, step: Send) -> Told:
    try:
        return await transport.unary_once(step.operation, step.timeout_s(transport.timeout_s))
    except IcecoreError as error:
        return error
