"""Histograms of gradients equal scikit-image's; pixels are pixels."""

import numpy as np
import pytest

from icecore.probes.advising.descriptors import hog, pixels
from icecore.probes.errors import InputInvalid

# skimage.feature.hog(orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2),
# block_norm="L2-Hys") of scikit-image 0.26.0 on `picture()`: the first block, the sum, and the
# sum weighted by place; then, with channel_axis=2, the last block of `in_colour()`, and such sums.
FIRST_GREY = """
    .0755 .2303 .2303 .1562 .1071 .0592 .0766 .0737 .0558 .0953 .2303 .1281
    .2269 .1102 .1550 .2100 .1997 .0399 .1595 .2303 .2303 .1724 .1042 .0109
    .1987 .1257 .2303 .0863 .2303 .2303 .2303 .0798 .0791 .2303 .2168 .1515"""
SUMS_GREY = (21.838839178324253, 1548.7443054611408)
LAST_COLOUR = """
    .1383 .1956 .2551 .1545 .0996 .1313 .2551 .1957 .1796 .1669 .1872 .2551
    .1329 .1726 .0000 .1361 .0967 .2551 .1971 .2551 .2551 .1851 .0674 .0989
    .0532 .2302 .0850 .1925 .1256 .1058 .0961 .1689 .0216 .1138 .1147 .1158"""
SUMS_COLOUR = (21.801994350181833, 1546.4634823849685)


def picture() -> np.ndarray:
    r, c = np.mgrid[:24, :24]
    values = 3 * r + 2 * c + (r * c) % 7 * 9 + ((r - 12) ** 2 + (c - 9) ** 2 < 40) * 90
    return np.asarray(values % 256, np.uint8)


def in_colour() -> np.ndarray:
    grey = picture()
    return np.stack([grey, grey.T, 255 - grey[::-1]], axis=2)


@pytest.mark.parametrize(
    ("image", "block", "place", "sums"),
    [
        (picture(), FIRST_GREY, slice(36), SUMS_GREY),
        (in_colour(), LAST_COLOUR, slice(-36, None), SUMS_COLOUR),
    ],
)
def test_histograms_are_scikit_images(
    image: np.ndarray, block: str, place: slice, sums: tuple[float, float]
) -> None:
    found = hog(image[None])
    assert found.shape == (1, 144)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, place], np.array(block.split(), float), atol=6e-5)
    weighted = (found[0] * np.arange(144)).sum()
    np.testing.assert_allclose([found[0].sum(), weighted], sums, rtol=1e-6)


def test_images_are_described_one_by_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 35, 29, 3), np.uint8)
    together = hog(images)
    assert together.shape == (70, 3 * 2 * 36)
    np.testing.assert_array_equal(together[[0, 63, 64, 69]], hog(images[[0, 63, 64, 69]]))


def test_a_flat_image_has_no_gradients() -> None:
    assert not hog(np.full((1, 16, 16), 9, np.uint8)).any()


def test_brightness_and_contrast_hardly_count() -> None:
    image = picture()[None] // 4
    np.testing.assert_allclose(hog(image * 2 + 40), hog(image), atol=1e-5)


def test_pixels_are_shares_of_full_brightness() -> None:
    found = pixels(np.array([[[0, 51], [102, 255]]], np.uint8))
    np.testing.assert_allclose(found, [[0.0, 0.2, 0.4, 1.0]], rtol=1e-6)
    assert found.dtype == np.float32
    assert pixels(np.zeros((3, 4, 5, 3), np.uint8)).shape == (3, 60)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 16, 16), np.float32),
        np.zeros((16, 16), np.uint8),
        np.zeros((2, 16, 16, 4), np.uint8),
        np.zeros((2, 15, 16), np.uint8),
    ],
)
def test_other_arrays_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputInvalid, match="but must be uint8 of shape"):
        hog(images)
