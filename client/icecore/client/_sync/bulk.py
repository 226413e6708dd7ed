"""Drives the batches of `Client.embed_many`, each in a thread of its own."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from icecore.client._bulk.course import Course, Send, Told, Wait
from icecore.client._bulk.plan import BulkPlan, Part, numbered
from icecore.client._operations.backbones import backbone as backbone_operation
from icecore.client._sync.held import Held
from icecore.client._sync.transport import Transport
from icecore.client.bulk_values import CodesBatch
from icecore.client.errors import IcecoreError
from icecore.client.input_values import ImageInput


def embed_many(
    transport: Transport, images: Iterable[ImageInput], plan: BulkPlan
) -> Iterator[CodesBatch]:
    """Yield the codes of one batch after another; leaving early gives up what is under way.

    Images are taken in the caller's thread, files read in those of the batches.
    """
    if plan.downscales:
        plan.scale_for(transport.unary(backbone_operation(plan.backbone)))
    held = Held()
    under_way: deque[Future[CodesBatch]] = deque()
    pool = ThreadPoolExecutor(plan.in_flight, thread_name_prefix="icecore-bulk")
    try:
        for part in _batches(images, plan):
            under_way.append(pool.submit(_drive, transport, Course(plan, part), held))
            while batch := _ready(under_way, plan, at_most=plan.in_flight - 1):
                yield batch
        while batch := _ready(under_way, plan, at_most=0):
            yield batch
    finally:
        held.give_up()
        pool.shutdown(wait=False, cancel_futures=True)


def _batches(images: Iterable[ImageInput], plan: BulkPlan) -> Iterator[Part]:
    batcher = plan.batcher()
    for one in numbered(images):
        yield from batcher.push(one)
    if rest := batcher.rest():
        yield rest


def _ready(
    under_way: deque[Future[CodesBatch]], plan: BulkPlan, *, at_most: int
) -> CodesBatch | None:
    """Return a batch that is done, waiting for it if more than so many are under way."""
    if not under_way:
        return None
    is_room = len(under_way) <= at_most
    if not plan.in_order:
        done, _ = wait(under_way, 0 if is_room else None, FIRST_COMPLETED)
        if not done:
            return None
        under_way.rotate(-next(i for i, one in enumerate(under_way) if one in done))
    elif is_room and not under_way[0].done():
        return None
    return plan.told(under_way.popleft().result())


def _drive(transport: Transport, course: Course, held: Held) -> CodesBatch:
    told: Told = None
    while True:
        step = course.next(told)
        if isinstance(step, CodesBatch):
            return step
        if isinstance(step, Wait):
            held.wait(step.seconds)
            told = None
            continue
        told = _call(transport, step, held)


def _call(transport: Transport, step: Send, held: Held) -> Told:
    try:
        return transport.unary_once(step.operation, step.timeout_s(transport.timeout_s), held=held)
    except IcecoreError as error:
        return error
