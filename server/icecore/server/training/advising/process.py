"""The process that judges a collection, seen from the server; images go to it as it reads them."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.errors import IcecoreError, Internal
from icecore.server.giving_way import LATER, give_way
from icecore.server.storage.promise import TenantStore
from icecore.server.training.advising.request import AdviceRequest
from icecore.server.training.advising.stages import Stages
from icecore.server.training.advising.subject import LayerCodes, Subject, kept_image
from icecore.server.training.advising.values import Advised, from_json
from icecore.server.training.frames import (
    receive_frame,
    receive_message,
    send_frame,
    send_message,
)
from icecore.server.training.workers import ONE_THREAD

COMMAND: Final = (
    sys.executable,
    "-P",  # the working folder is the user's, not a place to import from
    "-m",
    "icecore.server.training.advising.worker",
)

CALIBRATION: Final = 32
"""Images that set the scales of a twin: half a gigabyte of EfficientNet-Lite0's maps."""

TWIN_LAYERS: Final = 12
"""Depths of a twin that are judged, spread over all with the last among them. Neighbours are
nearly alike, and more of them take as long as the backbone's own, once for each seed."""

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is judged. `floats` has, for each backbone's digest, the float32 one its twin is of.

    `stages` say which share of the whole is done.
    """

    store: TenantStore
    request: AdviceRequest
    subject: Subject
    names: dict[str, str]
    floats: dict[str, Backbone]
    stages: Stages


async def judged(
    task: Task, *, on_progress: OnProgress, command: Sequence[str] = COMMAND
) -> Advised:
    """Return the advice.

    Raises:
        CodesInvalid, ClassesTooFew, ClassTooSmall, CalibrationInvalid, GraphInvalid: the images
            cannot be judged.
        ExampleNotFound: an image was deleted or replaced meanwhile.
        Internal: the process broke or was killed; the server's log has its words.
        asyncio.CancelledError: the process is dead by then.
    """
    began = monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,  # Ctrl-C in the server's terminal is the server's
    )
    give_way(process.pid, LATER)  # somebody waits for it
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for as pipes")
    talk = _Talk(task, process.stdin, process.stdout, on_progress, began)
    receiving, sending = asyncio.create_task(talk.receive()), asyncio.create_task(talk.send())
    try:
        await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_EXCEPTION)
        if sending.done() and not receiving.done():
            # Why it reads no more, it may have said.
            with suppress(ConnectionError):
                sending.result()
        return await receiving
    except (EOFError, ConnectionError) as error:
        status = await process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise Internal(
            f"the process that judged collection {task.request.collection_id!r} {how}"
        ) from error
    finally:
        receiving.cancel()
        sending.cancel()
        await asyncio.wait([receiving, sending])
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.stdout.read()  # to its end, so that the pipes are closed when we return
        await process.wait()


class _Talk:
    """Both directions at once: a pipe that nobody empties would hold up the other."""

    def __init__(
        self,
        task: Task,
        writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        on_progress: OnProgress,
        began: float,
    ) -> None:
        self._task = task
        self._writer = writer
        self._reader = reader
        self._on_progress = on_progress
        self._began = began
        self._chosen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Advised:
        while True:
            message = cast(dict[str, Any], await receive_message(self._reader))
            match message["event"]:
                case "progress":
                    self._on_progress(str(message["stage"]), float(message["progress"]))
                case "chosen":
                    self._chosen.set_result(str(message["backbone"]))
                case "refused":
                    raise _error(message["reason"], message["message"], **message["details"])
                case "advice":
                    return await self._advised(message)
                case other:
                    raise AssertionError(f"the process sent the event {other!r}")

    async def send(self) -> None:
        subject, request = self._task.subject, self._task.request
        await send_message(
            self._writer,
            {
                "kind": request.kind,
                "seed": request.seed,
                "stages": self._task.stages.to_json(),
                "n_labelled": subject.n_labelled,
                "labels": [example.label for example in subject.examples],
                "groups": [example.image_sha256 for example in subject.examples],
                "candidates": [self._described(one) for one in subject.layers],
            },
        )
        for one in subject.layers:
            await send_frame(self._writer, one.codes.data)
        await self._send_images(await self._chosen)

    async def _send_images(self, name: str) -> None:
        (digest,) = [digest for digest, one in self._task.names.items() if one == name]
        plain, examples = self._task.floats[digest], self._task.subject.examples
        places = np.unique(np.linspace(0, len(examples) - 1, CALIBRATION).astype(int))
        await send_message(
            self._writer,
            {
                "name": plain.name,
                "recipe": plain.recipe.to_json(),
                "layers": [layer.name for layer in plain.spread(TWIN_LAYERS)],
                "n_calibration": len(places),
            },
        )
        await send_frame(self._writer, await asyncio.to_thread(plain.load))
        for example in [*(examples[place] for place in places), *examples]:
            data = await asyncio.to_thread(
                kept_image, self._task.store, self._task.request.collection_id, example
            )
            await send_frame(self._writer, data)

    def _described(self, one: LayerCodes) -> dict[str, object]:
        value_bytes = 1 if one.backbone.precision == "int8" else 4
        return {
            "backbone": self._task.names[one.backbone.digest],
            "layer": one.layer.name,
            "depth": one.layer.depth or 0,
            "role": one.layer.role,
            "n_bytes": one.layer.params * value_bytes,
            "macs": one.layer.macs,
            "dtype": one.codes.dtype.str,
            "shape": list(one.codes.shape),
        }

    async def _advised(self, message: dict[str, Any]) -> Advised:
        # Late: with it comes scipy, which no start of a server is to wait for.
        from icecore.probes.advising.advice import Advice

        thumbnails = {int(row): await receive_frame(self._reader) for row in message["thumbnails"]}
        advice, examples = from_json(Advice, message["advice"]), self._task.subject.examples
        return Advised(
            collection_id=self._task.request.collection_id,
            kind=self._task.request.kind,
            seed=self._task.request.seed,
            n_labelled=self._task.subject.n_labelled,
            n_images=len(examples),
            examples={one.row: examples[one.row] for one in advice.confusion.shown},
            advice=advice,
            thumbnails=thumbnails,
            seconds=monotonic() - self._began,
        )


def _error(reason: str, message: str, **details: str) -> IcecoreError:
    """The error of that reason."""
    known = {str(one.reason): one for one in _leaves(IcecoreError)}
    return known.get(reason, Internal)(message, **details)


def _leaves(root: type[IcecoreError]) -> Iterator[type[IcecoreError]]:
    yield root
    for one in root.__subclasses__():
        yield from _leaves(one)
