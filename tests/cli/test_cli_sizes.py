"""Bytes as people write and read them."""

import click
import pytest

from icecore.cli.sizes import shown, size


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("0", 0),
        ("123", 123),
        ("10GB", 10**10),
        ("10 gb", 10**10),
        ("1.5TB", 1_500_000_000_000),
        ("0.1KB", 100),
        ("512MiB", 512 << 20),
        ("1TiB", 1 << 40),
        ("7b", 7),
    ],
)
def test_a_size_has_a_unit_or_none(text: str, n_bytes: int) -> None:
    assert size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1", "10 parsecs", "1e9", "10G", "1,000", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="10GB"):
        size(text)


@pytest.mark.parametrize("n_bytes", [0, 1, 999, 1000, 999_499, 999_500, 1_234_567, 10**10, 2**63])
def test_what_is_shown_is_the_size_to_three_digits(n_bytes: int) -> None:
    assert size(shown(n_bytes)) == pytest.approx(n_bytes, rel=5e-3)
