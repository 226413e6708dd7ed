"""How it was measured, what it does not say, and what the words mean."""

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.markup import Markup, label, paragraphs, section, tag
from icecore.cli.advice_report.tables import Row, folded, table
from icecore.cli.advice_report.words.glossary import LIMITS, WORDS
from icecore.client import ProbeKind
from icecore.client.advice_values import Advice

_KINDS = {
    ProbeKind.SVM: "a linear support vector machine",
    ProbeKind.SOFTMAX: "softmax (multinomial logistic) regression",
}


def measured(advice: Advice) -> Markup:
    """Return the images judged, the folds, and where the ranges come from."""
    return section(
        "measured",
        "How it was measured",
        paragraphs(
            _images(advice),
            "The images were dealt into five parts. Five times, a probe learnt from four of them "
            "and answered for the fifth, so that each image was judged once, by a probe that had "
            "not learnt from it. Copies of an image were kept in one part.",
            "For the figure at the top, the layer and every setting were chosen anew each time, "
            "from the four parts alone. The figure of a single layer has its settings chosen in "
            "the same way. A training also chooses how the numbers of a layer are scaled before "
            "they are learnt from (preprocessing), which is not done here, so a trained probe may "
            "do a little better.",
            "The ranges of accuracy are Wilson's, widened because the five probes share images. "
            "Leads are compared image by image, with one-sided bounds of 95 %; together they make "
            "a range of 90 %.",
            f"The probe is {_KINDS[advice.kind]}. The images were dealt with seed {advice.seed}. "
            f"All this took {figures.seconds(advice.seconds)}.",
        ),
        folded(
            "The classes",
            table(
                "Images judged, by class",
                ("class", "images"),
                [Row((label(one.label), f"{one.n_images:,}")) for one in advice.classes],
            ),
        ),
    )


def unsaid() -> Markup:
    """Return what should not be read into the report."""
    return section("unsaid", "What it does not say", tag("ul", *(tag("li", one) for one in LIMITS)))


def words_told() -> Markup:
    """Return the glossary."""
    items = [part for word, what in WORDS for part in (tag("dt", word), tag("dd", what))]
    return section("words", "Words", tag("dl", *items))


def _images(advice: Advice) -> str:
    text = f"{figures.count(advice.n_images, 'image')} with a label were judged"
    if advice.n_images < advice.n_labelled:
        text += f", drawn from {advice.n_labelled:,} so that each class was thinned alike"
    copies = advice.n_images - advice.n_different_images
    if copies > 0:
        text += (
            f"; {figures.count(copies, 'is a copy', 'are copies')} of another and not counted again"
        )
    return f"{text}."
