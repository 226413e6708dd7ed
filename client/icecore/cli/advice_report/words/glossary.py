"""The words of the report that are not everyday ones, and what the report does not say."""

from typing import Final

WORDS: Final = (
    (
        "network",
        "A program with millions of numbers in it, which were set by showing it many images. Also "
        "called a backbone. Here it is used as it is (“frozen”): your images change nothing in it.",
    ),
    (
        "layer, depth",
        "A network works in steps, its layers. Depth 1 is the first, right behind the "
        "image; early layers see edges and colours, later ones larger shapes.",
    ),
    ("codes", "The numbers that a layer gives for an image."),
    (
        "probe",
        "A small classifier that learns from your labels to tell classes apart by the codes "
        "of one layer. It learns in seconds and costs next to nothing to run.",
    ),
    ("accuracy", "The share of images that are named right."),
    (
        "held out",
        "An image is held out when the probe that answers for it did not learn from it. "
        "Only such answers are counted here.",
    ),
    (
        "range, interval",
        "The figures in brackets. A range of 95 % is made so that it holds the true "
        "value in 19 of 20 cases; one of 90 % in 9 of 10. Fewer images, wider range.",
    ),
    ("point", "One image of a hundred: from 90 % to 92 % is two points."),
    (
        "baseline",
        "A simpler way to name the images. A network that does not beat it is not worth its cost.",
    ),
    ("recall", "Of the images of one class, the share that is recognised."),
    (
        "multiply-add",
        "One multiplication and one addition: the unit of a network's work, also called MAC.",
    ),
    ("learning curve", "Accuracy against the number of images that were learnt from."),
)

CAUTION: Final = (
    "That holds for images taken in the same way: of another camera, another laboratory or another "
    "season it says nothing. If yours come in batches, keep one apart and try the probe on it."
)

LIMITS: Final = (
    "It judges the frozen network with a probe on it. A network trained from scratch on your "
    "images, or trained further on them, is a dearer contestant and was not run here.",
    "It speaks of new images like yours: taken in the same way, of the same classes. Of another "
    "camera, another laboratory or another season it knows nothing.",
    "A range tells what chance in the choice of images explains. It does not cover wrong labels.",
    "Exact copies of an image are counted as one. Images that are nearly the same, such as "
    "pictures taken in a burst, are not noticed; they make accuracy look too high.",
    "Sizes count what has to be stored. What a device needs while it works comes on top.",
)
