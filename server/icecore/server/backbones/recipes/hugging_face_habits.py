"""What each of Hugging Face's image processors does where its file does not say.

Source: the defaults of the classes in `transformers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from icecore.server.backbones.recipes.reading import Fields
from icecore.server.backbones.recipes.recipe import shown
from icecore.server.errors import RecipeInvalid


@dataclass(frozen=True, slots=True)
class Habits:
    """`resample` is Pillow's number, None where versions of the class differ.

    `is_square` says whether a size of one number is squashed to, else the shorter side gets it.
    """

    resample: int | None
    preset: str
    is_square: bool = True
    crops: bool = False
    flips: bool = False


_HABITS: Final[Mapping[str, Habits]] = {
    "beit": Habits(3, "tensorflow"),
    "bit": Habits(3, "clip", is_square=False, crops=True),
    "blip": Habits(3, "clip"),
    "clip": Habits(3, "clip", is_square=False, crops=True),
    "convnext": Habits(2, "tensorflow", is_square=False),
    "deit": Habits(3, "tensorflow", crops=True),
    "dinov3vit": Habits(2, "imagenet"),
    "efficientformer": Habits(3, "imagenet", crops=True),
    "efficientnet": Habits(None, "tensorflow"),
    "levit": Habits(3, "imagenet", is_square=False, crops=True),
    "mobilenetv1": Habits(2, "tensorflow", is_square=False, crops=True),
    "mobilenetv2": Habits(2, "tensorflow", is_square=False, crops=True),
    "mobilevit": Habits(2, "unit", is_square=False, crops=True, flips=True),
    "poolformer": Habits(3, "imagenet", is_square=False, crops=True),
    "pvt": Habits(2, "imagenet"),
    "segformer": Habits(2, "imagenet"),
    "siglip": Habits(3, "tensorflow"),
    "vit": Habits(2, "tensorflow"),
    "vithybrid": Habits(3, "clip", is_square=False, crops=True),
}


def habits_of(fields: Fields) -> tuple[str, Habits]:
    """Return the kind of a processor, such as "convnext", and its habits.

    Raises:
        RecipeInvalid: a class that is not known here, whose file leaves something open.
    """
    written = fields.text("image_processor_type", fields.text("feature_extractor_type", ""))
    kind = written
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        kind = kind.removesuffix(ending)
    kind = kind.lower()
    if kind not in _HABITS:
        # Old files name no class: the fields they have tell it. Of one that is named and not
        # known here, nothing may be left to habit.
        for name in ("size", "resample", "image_mean", "image_std") if written else ():
            if name not in fields and fields.flag("do_normalize", True):
                raise RecipeInvalid(
                    f"{fields.what} is of {shown(written)}, which is not known here, "
                    f"and does not say {name!r}"
                )
        crops = fields.flag("do_center_crop", "crop_size" in fields)
        kind = "convnext" if "crop_pct" in fields else "clip" if crops else "vit"
    return kind, _HABITS[kind]
