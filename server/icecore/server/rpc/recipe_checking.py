"""CheckRecipe: labelled photos come in, and what several recipes make of them goes out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

from icecore.server.backbones.catalog import Catalog
from icecore.server.errors import InvalidArgument
from icecore.server.rpc import arguments, backbone_answers
from icecore.server.rpc.following import followed
from icecore.server.rpc.parts import STALL_S, Parts, Turns
from icecore.server.rpc.photos import Budget, Photos
from icecore.server.training.recipe_check import RecipeChecker, RecipeReport
from icecore.v1 import backbone_pb2 as pb

MAX_CLASSES: Final = 100_000
MAX_CLASS_NAME: Final = 1024
"""Some of ImageNet's hold all their synonyms."""


class RecipeChecking:
    """One check at a time, which `turns` sees to."""

    def __init__(
        self, catalog: Catalog, checker: RecipeChecker, turns: Turns, *, stall_s: float = STALL_S
    ) -> None:
        self._catalog = catalog
        self._checker = checker
        self._turns = turns
        self._stall_s = stall_s

    async def check(
        self, requests: AsyncIterator[pb.CheckRecipeRequest]
    ) -> AsyncGenerator[pb.CheckRecipeResponse, None]:
        """Yield progress, and last the report.

        Raises:
            InvalidArgument, NameInvalid: what the header or the stream says.
            BackboneNotFound: as `Catalog.get`.
            ImagesEmpty, ImagesTooMany and the others of `RecipeChecker.check`.
            Overloaded: another is under way.
        """
        parts = Parts(requests, stall_s=self._stall_s)
        header = await parts.header()
        name = arguments.named("backbone", header.backbone) if header.backbone else ""
        class_names = _class_names(header.class_names)
        backbone = await asyncio.to_thread(self._catalog.get, name)
        with self._turns.take():
            photos, budget = Photos(), Budget()
            async for kind, part in parts.rest():
                photos.add_labelled(part, await asyncio.to_thread(budget.take, kind, part))
                del part  # what is not in hand is not kept
            shares: asyncio.Queue[float] = asyncio.Queue()
            work = asyncio.create_task(
                self._checker.check(
                    backbone,
                    photos.images,
                    photos.labels,
                    class_names,
                    names=photos.names,
                    on_progress=shares.put_nowait,
                )
            )
            async with followed(work, shares) as told:
                async for share in told:
                    yield pb.CheckRecipeResponse(progress=share)
            yield _answer(work.result())


def _class_names(sent: Sequence[str]) -> list[str]:
    if len(sent) > MAX_CLASSES:
        raise InvalidArgument(
            f"there are {len(sent):,} class names, but {MAX_CLASSES:,} are the most"
        )
    return [
        arguments.free_text("class name", text, max_length=MAX_CLASS_NAME, may_be_empty=True)
        for text in sent
    ]


def _answer(report: RecipeReport) -> pb.CheckRecipeResponse:
    return pb.CheckRecipeResponse(
        n_images=report.n_images,
        trials=[
            pb.RecipeTrial(
                change=trial.change,
                recipe=backbone_answers.recipe(trial.recipe),
                accuracy=trial.accuracy,
                confidence=trial.confidence,
                agreement=trial.agreement,
                n_images=trial.n_images,
            )
            for trial in report.trials
        ],
        progress=1.0,
        suggested=report.suggested,
        verdict=report.verdict,
    )
