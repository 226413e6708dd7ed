"""What administrators have done to backbones: a file sent, a recipe checked, one quantised."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from icecore.client._operations.backbones import (
    SERVICE,
    backbone_value,
    recipe_message,
    recipe_value,
)
from icecore.client._operations.conversation import Conversation
from icecore.client._operations.operation import request_id_or_new
from icecore.client._operations.places import file_of, image_message
from icecore.client.backbone_values import (
    Backbone,
    Card,
    Checking,
    LabelledImage,
    Quantising,
    Recipe,
    RecipeReport,
    RecipeTrial,
)
from icecore.client.input_values import ImageInput
from icecore.v1 import backbone_pb2 as pb

CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int, int], None]


def add(
    name: str,
    graph: Path | bytes,
    *,
    recipe: Recipe | Path | None,
    card: Card | None,
    on_bytes: OnBytes | None,
    request_id: str | None,
) -> Conversation[Backbone]:
    """Files are read while they are sent, the recipe's at once. Raises OSError."""
    header = pb.AddBackboneRequest.Header(
        request_id=request_id_or_new(request_id),
        name=name,
        recipe=recipe_message(recipe) if isinstance(recipe, Recipe) else None,
        recipe_file=(
            pb.RecipeFile(name=_text(recipe.name), content=recipe.read_bytes())
            if isinstance(recipe, Path)
            else None
        ),
        card=None if card is None else _card_message(card),
    )

    def requests() -> Iterator[pb.AddBackboneRequest]:
        yield pb.AddBackboneRequest(header=header)
        n_bytes = graph.stat().st_size if isinstance(graph, Path) else len(graph)
        n_sent = 0
        for chunk in _chunks(graph):
            yield pb.AddBackboneRequest(chunk=chunk)
            n_sent += len(chunk)
            if on_bytes is not None:
                on_bytes(n_sent, n_bytes)

    return Conversation(
        SERVICE,
        "AddBackbone",
        requests,
        pb.AddBackboneResponse,
        lambda answer: backbone_value(answer.backbone),
    )


def check_recipe(
    backbone: str, images: Sequence[LabelledImage], class_names: Sequence[str]
) -> Conversation[Checking]:
    def requests() -> Iterator[pb.CheckRecipeRequest]:
        header = pb.CheckRecipeRequest.Header(backbone=backbone, class_names=class_names)
        yield pb.CheckRecipeRequest(header=header)
        for place, image in enumerate(images):
            yield pb.CheckRecipeRequest(image=_labelled_message(image, place))

    return Conversation(SERVICE, "CheckRecipe", requests, pb.CheckRecipeResponse, _checking)


def quantise(
    backbone: str,
    name: str,
    calibration: Sequence[ImageInput],
    evaluation: Sequence[LabelledImage],
    *,
    percentile: float,
    request_id: str | None,
) -> Conversation[Quantising]:
    header = pb.QuantiseBackboneRequest.Header(
        request_id=request_id_or_new(request_id),
        backbone=backbone,
        name=name,
        percentile=percentile,
    )

    def requests() -> Iterator[pb.QuantiseBackboneRequest]:
        yield pb.QuantiseBackboneRequest(header=header)
        for place, image in enumerate(calibration):
            called = _text(str(file_of(image) or f"calibration image {place}"))
            yield pb.QuantiseBackboneRequest(
                calibration=pb.QuantiseBackboneRequest.Calibration(
                    image=image_message(image, called), name=called
                )
            )
        for place, labelled in enumerate(evaluation):
            yield pb.QuantiseBackboneRequest(evaluation=_labelled_message(labelled, place))

    return Conversation(
        SERVICE,
        "QuantiseBackbone",
        requests,
        pb.QuantiseBackboneResponse,
        lambda answer: Quantising(
            answer.stage,
            answer.progress,
            backbone_value(answer.backbone) if answer.HasField("backbone") else None,
        ),
    )


def _chunks(graph: Path | bytes) -> Iterator[bytes]:
    if isinstance(graph, bytes):
        for start in range(0, len(graph), CHUNK_BYTES):
            yield graph[start : start + CHUNK_BYTES]
        return
    with graph.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _card_message(card: Card) -> pb.Card:
    return pb.Card(
        source=card.source,
        licence=card.licence,
        trained_on=card.trained_on,
        notes=card.notes,
        accuracy=card.accuracy,
    )


def _labelled_message(labelled: LabelledImage, place: int) -> pb.LabelledImage:
    image = labelled.image
    called = _text(labelled.name or str(file_of(image) or f"image {place}"))
    return pb.LabelledImage(
        image=image_message(image, called), label=labelled.label, set=labelled.set, name=called
    )


def _checking(answer: pb.CheckRecipeResponse) -> Checking:
    return Checking(answer.progress, _report(answer) if answer.trials else None)


def _report(answer: pb.CheckRecipeResponse) -> RecipeReport:
    trials = tuple(
        RecipeTrial(
            change=one.change,
            recipe=recipe_value(one.recipe),
            accuracy=_known(one.accuracy),
            confidence=_known(one.confidence),
            agreement=_known(one.agreement),
            n_images=one.n_images,
        )
        for one in answer.trials
    )
    if answer.suggested >= len(trials):
        raise ValueError(f"{len(trials)} trials, of which {answer.suggested} is suggested")
    suggested = trials[answer.suggested] if answer.suggested else None
    return RecipeReport(answer.n_images, trials, suggested, answer.verdict)


def _known(share: float) -> float | None:
    return share if share >= 0.0 else None


def _text(name: str) -> str:
    """A file's name as it can be sent: bytes that are not UTF-8 are written out."""
    return name.encode(errors="backslashreplace").decode()
