"""The filter language: what it takes, what it refuses and where it says so."""

import pytest

from icecore.server.errors import FilterInvalid
from icecore.server.search.filters import read_filter
from icecore.server.storage.records import ExampleRecord

ANT = ExampleRecord(
    "ants/a 1.jpg", "ant", {"year": 2021.0, "wild": True, "who": 'Ann "A" O\'Hara', "s p": "x"}, ""
)
BARE = ExampleRecord("bare", "", {}, "")


@pytest.mark.parametrize(
    ("text", "ant", "bare"),
    [
        ("", True, True),
        ("   ", True, True),
        ('label = "ant"', True, False),
        ("label = 'ant'", True, False),
        ("label=ant", True, False),
        ('label = ""', False, True),
        ('label != "ant"', False, True),
        ('id = "ants/a 1.jpg"', True, False),
        ("id < b", True, False),
        ("id >= bare", False, True),
        ("metadata.year = 2021", True, False),
        ("metadata.year != 2021", False, False),
        ("metadata.year != 2020", True, False),
        ("metadata.year > 2020 AND metadata.year <= 2.021e3", True, False),
        ("metadata.year < -1", False, False),
        ('metadata.year = "2021"', False, False),
        ('metadata.year != "2021"', True, False),
        ('metadata.year > "2020"', False, False),
        ("metadata.wild = true", True, False),
        ("metadata.wild = 1", False, False),
        ("metadata.wild != false", True, False),
        ('metadata.who = "Ann \\"A\\" O\'Hara"', True, False),
        ('metadata."s p" = x', True, False),
        ("metadata.year:*", True, False),
        ("NOT metadata.year:*", False, True),
        ("NOT NOT label = ant", True, False),
        ("NOT label = ant AND id = bare", False, True),
        ("NOT (label = bee OR id = bare)", True, False),
        ("label = bee OR id = bare OR metadata.wild = true", True, True),
        ("(label = ant OR id = bare) AND (metadata.year:* OR label = '')", True, True),
        ("label = 2020-01-01 OR label=AND1", False, False),
    ],
)
def test_a_filter_takes_just_these(text: str, ant: bool, bare: bool) -> None:
    wanted = read_filter(text)
    assert (wanted.matches(ANT), wanted.matches(BARE)) == (ant, bare)
    assert wanted.is_empty is (not text.strip())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("label", "has its end at character 6, but wants one of = != < <= > >="),
        ("label = ", "has its end at character 8, but wants a value"),
        ("label == ant", "has '=' at character 8, but wants a value"),
        ('label = "ant', "has '\"' at character 9: this quote is not closed"),
        ("colour = red", "has 'colour' at character 1, but wants id, label or metadata.KEY"),
        ("label = ant AND", "has its end at character 16, but wants id, label"),
        ("label = ant id = b", "has 'id' at character 13, but wants AND, OR or the end"),
        ("(label = ant", "has its end at character 13, but wants AND, OR or ')'"),
        ("label = ant)", "has ')' at character 12, but wants AND, OR or the end"),
        ("metadata = 3", "has '=' at character 10, but wants '.' and a key"),
        ("metadata. = 3", "has '=' at character 11, but wants a key of the metadata"),
        ("metadata.year:2020", "has '2020' at character 15, but wants '*'"),
        ("label ! ant", "has '!' at character 7: unequal is written !="),
        ("metadata.wild < true", "but true and false have no order"),
        ("metadata.year = 1e999", "which is too large"),
        ("id=a AND id=b OR id=c", "mixes AND and OR at character 15: write parentheses"),
        ("(" * 80 + "id=a", "nests deeper than 64 at character 66"),
        ("id=" + "a" * 9000, "has 9,003 characters, but 8,192 are the most"),
        ("label = ant; DROP", "has 'DROP' at character 14"),
    ],
)
def test_a_filter_that_says_nothing_is_refused_where_it_goes_wrong(
    text: str, sentence: str
) -> None:
    with pytest.raises(FilterInvalid) as caught:
        read_filter(text)
    assert sentence in caught.value.message


def test_a_long_chain_is_read_and_run_without_deep_recursion() -> None:
    assert read_filter(" OR ".join(f"label={i}" for i in range(400)) + " OR label=ant").matches(ANT)
    assert read_filter("NOT " * 2000 + "label=ant").matches(ANT)
