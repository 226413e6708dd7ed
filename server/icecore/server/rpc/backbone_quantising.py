"""QuantiseBackbone: images come in, progress goes out, and an int8 backbone is made and stored."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.facts import Facts
from icecore.server.backbones.quantising.quantise import PERCENTILE
from icecore.server.errors import BackboneNotFloat, InvalidArgument
from icecore.server.rpc import arguments, backbone_answers
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import finish
from icecore.server.rpc.following import followed
from icecore.server.rpc.parts import STALL_S, Parts, Turns
from icecore.server.rpc.photos import Budget, Photos
from icecore.server.storage.records import Mutation
from icecore.server.training.quantising import EvaluationSet, Quantised, quantise_backbone
from icecore.v1 import backbone_pb2 as pb

Quantise: TypeAlias = Callable[..., Coroutine[Any, Any, Quantised]]

_STORING: Final = "storing"
_DONE: Final = "done"
_EVALUATION: Final = "evaluation"


class BackboneQuantising:
    """One at a time, which `turns` sees to; the work is in a process of its own."""

    def __init__(
        self,
        catalog: Catalog,
        turns: Turns,
        *,
        quantise: Quantise = quantise_backbone,
        stall_s: float = STALL_S,
    ) -> None:
        self._catalog = catalog
        self._turns = turns
        self._quantise = quantise
        self._stall_s = stall_s

    async def quantise(
        self, requests: AsyncIterator[pb.QuantiseBackboneRequest]
    ) -> AsyncGenerator[pb.QuantiseBackboneResponse, None]:
        """Yield progress, and last the backbone, which is durable then.

        A caller who leaves ends the work; nothing is left of it. A retry is answered as the
        first call was, once its images show that it is one.

        Raises:
            InvalidArgument, NameInvalid: what the header or the stream says.
            BackboneNotFound, BackboneNotFloat: of what is to be quantised.
            ImagesTooMany, CalibrationInvalid and the others of `quantise_backbone`.
            Overloaded: another is under way.
            RequestIdReused, StorageFull: as `Catalog.add`.
        """
        parts = Parts(requests, stall_s=self._stall_s)
        header = await parts.header()
        arguments.request_id(header.request_id)
        asked = arguments.named("backbone", header.backbone) if header.backbone else ""
        plain = await asyncio.to_thread(self._catalog.get, asked)
        name = arguments.named("backbone", header.name or f"{plain.name}-int8")
        if name == plain.name:
            raise InvalidArgument(f"the int8 backbone needs another name than {name!r}")
        if plain.precision != "float32":
            raise BackboneNotFloat(
                f"backbone {plain.name!r} is {plain.precision} already, but must be float32 to be "
                "quantised"
            )
        with self._turns.take():
            images = _Images()
            async for kind, part in parts.rest():
                await asyncio.to_thread(images.take, kind, part)
                del part  # what is not in hand is not kept
            mutation = arguments.mutation(header.request_id, header, images.budget.digest)
            if mutation is not None:
                before = await asyncio.to_thread(self._catalog.added_before, mutation)
                if before is not None:
                    yield _last(before)
                    return
            progress: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
            work = asyncio.create_task(
                self._quantise(
                    plain,
                    images.calibration.images,
                    images.sets(),
                    percentile=header.percentile or PERCENTILE,
                    on_progress=lambda stage, share: progress.put_nowait((stage, share)),
                )
            )
            async with followed(work, progress) as told:
                async for stage, share in told:
                    yield pb.QuantiseBackboneResponse(stage=stage, progress=share)
            quantised = work.result()
            yield pb.QuantiseBackboneResponse(stage=_STORING, progress=1.0)
            yield _last(await finish(self._store(name, plain, quantised, mutation)))

    async def _store(
        self, name: str, plain: Backbone, quantised: Quantised, mutation: Mutation | None
    ) -> Backbone:
        principal = current_call().principal
        facts = Facts(
            added_by=f"administrator {'' if principal is None else principal.key_id}",
            recipe_source=f"backbone {plain.name}",
            derived_from=plain.digest,
            fidelity=quantised.fidelity,
        )
        add = partial(
            self._catalog.add,
            name,
            quantised.graph,
            plain.recipe,
            replace(plain.card, accuracy=""),  # published of the float32 one alone
            facts,
            mutation=mutation,
        )
        return await asyncio.to_thread(add)


class _Images:
    """Those for the ranges, and the labelled sets for the report."""

    def __init__(self) -> None:
        self.budget = Budget()
        self.calibration = Photos()
        self._by_set: dict[str, Photos] = {}

    def take(
        self, kind: str, part: pb.QuantiseBackboneRequest.Calibration | pb.LabelledImage
    ) -> None:
        """Take in a part of the stream. Raises as `Budget.take` and `Photos.add`."""
        index = self.budget.take(kind, part)
        if isinstance(part, pb.LabelledImage):
            if not part.label:
                raise InvalidArgument(
                    f"evaluation image {index} has no label: a probe cannot learn from it"
                )
            of_set = arguments.label(part.set) or _EVALUATION
            self._by_set.setdefault(of_set, Photos()).add_labelled(part, index)
        else:
            self.calibration.add(part.image, index, name=part.name)

    def sets(self) -> list[EvaluationSet]:
        return [
            EvaluationSet(name, photos.images, photos.labels)
            for name, photos in self._by_set.items()
        ]


def _last(made: Backbone) -> pb.QuantiseBackboneResponse:
    return pb.QuantiseBackboneResponse(
        stage=_DONE, progress=1.0, backbone=backbone_answers.backbone(made)
    )
