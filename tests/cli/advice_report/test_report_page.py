"""The report is one well-formed page in which no name is markup, whatever is advised."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

import advices
from icecore.cli.advice_json import advice_json
from icecore.cli.advice_report import figures
from icecore.cli.advice_report.markup import (
    LARGEST_THUMBNAIL,
    Markup,
    data_block,
    label,
    tag,
    thumbnail,
)
from icecore.cli.advice_report.page import DATA, page
from icecore.cli.advice_report.sections import enough, mistakes, summary
from icecore.cli.advice_report.words import steps
from icecore.cli.advice_report.words.glossary import CAUTION
from icecore.client import Accuracy
from icecore.client.advice_values import (
    Advice,
    ClassSize,
    ConfusedImage,
    Confusion,
    Recommendation,
    SufficiencyKind,
    VerdictKind,
)

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "quotes": "\"' onerror=alert(1) x='",
    "end": "</script></style></svg><!-- ]]> --><img src=x onerror=alert(1)>",
    "entity": "&lt;b&gt; &amp; &#x3c;",
    "right-to-left": "\u202eevil\u202c \u05d0\u05d1\u05d2 \u0639",
    "long": "w" * 500,
    "mathtext": r"$\frac{x}{0}$ $_",
    "lines": "a\nb\r\tc\x00\x1b[31m",
    "surrogate": "caf\udce9.png",
    "empty": "",
}
VOID = {"meta", "img", "br", "col"}
LIMIT = 3_000_000


class Reader(HTMLParser):
    """Reads a page strictly: every element has to be closed where it belongs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.raw = ""
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        keys = [key for key, _ in attrs]
        assert len(keys) == len(set(keys)), f"<{tag}> has an attribute twice: {keys}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open.pop() == tag, f"</{tag}> ends another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts).translate({0x2068: None, 0x2069: None, 0xA0: " "})


def read(advice: Advice) -> Reader:
    reader = Reader()
    reader.raw = page(advice)
    reader.feed(reader.raw)
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    return reader


def hostile(name: str) -> Advice:
    """An advice with this name wherever a name can stand."""
    classes = (name, f"{name} 2")
    mistakes = Confusion(
        classes,
        ((9, 3), (0, 8)),
        (
            ConfusedImage(name, classes[0], classes[1], advices.jpeg()),
            ConfusedImage(name, name, name, b""),
        ),
    )
    found = advices.verdict(VerdictKind.NO_GAIN)
    other = replace(found.baselines[2], name=name)
    weak = replace(advices.sufficiency(SufficiencyKind.ENOUGH).weakest_classes[0], label=name)
    layers = tuple(
        replace(one, place=replace(one.place, layer=name, backbone=backbone))
        for backbone in (name, "other")
        for one in advices.layers()
    )
    return advices.blood(
        collection_id=name,
        classes=tuple(ClassSize(each, 3) for each in classes),
        layers=layers,
        chosen=layers[20].place,
        cheapest=layers[11].place,
        last=layers[32].place,
        confusion=mistakes,
        verdict=replace(found, limiting=name, baselines=(*found.baselines[:2], other)),
        sufficiency=replace(
            advices.sufficiency(SufficiencyKind.COLLECT_MORE), weakest_classes=(weak,)
        ),
    )


@pytest.fixture(scope="module")
def blood() -> Reader:
    return read(advices.blood())


@pytest.fixture(scope="module")
def calm_tags() -> list[str]:
    return [one for one, _ in read(hostile("calm")).tags]


@pytest.mark.parametrize(
    ("kind", "enough"), list(zip(VerdictKind, SufficiencyKind, strict=True)), ids=str
)
def test_every_advice_is_a_well_formed_page(kind: VerdictKind, enough: SufficiencyKind) -> None:
    reader = read(
        advices.blood(verdict=advices.verdict(kind), sufficiency=advices.sufficiency(enough))
    )
    assert [name for name, _ in reader.tags].count("h1") == 1
    assert "What to do" in reader.text


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", [VerdictKind.POSITIVE, VerdictKind.NO_GAIN])
def test_no_name_becomes_markup(name: str, kind: VerdictKind, calm_tags: list[str]) -> None:
    advice = hostile(name)
    advice = replace(advice, verdict=replace(advice.verdict, kind=kind))
    reader = read(advice)
    if kind is VerdictKind.NO_GAIN:
        assert [one for one, _ in reader.tags] == calm_tags
    for element, attributes in reader.tags:
        assert not any(key.startswith("on") for key in attributes), f"{element} {attributes}"
    assert [one for one, _ in reader.tags].count("script") == 1
    for control in ("\x00", "\x1b", "\u202e", "\r"):
        assert control not in reader.raw, f"{control!r} reached the page"


@pytest.mark.parametrize("name", [HOSTILE["end"], HOSTILE["surrogate"], HOSTILE["lines"]])
def test_the_data_in_the_page_are_the_advice_as_json(name: str) -> None:
    advice = hostile(name)
    reader = read(advice)
    attributes = dict(next(rest for one, rest in reader.tags if one == "script"))
    assert attributes == {"type": "application/json", "id": DATA}
    assert json.loads("".join(reader.scripts)) == advice_json(advice)


def test_nothing_outside_the_page_is_asked_for(blood: Reader) -> None:
    reader = blood
    for element, attributes in reader.tags:
        assert element not in {"link", "iframe", "object", "embed", "base", "form"}
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(key)
            if value is not None:
                assert value.startswith(("data:image/", "#")), f"<{element} {key}={value!r}>"
    text = reader.raw
    assert not re.search(r"url\((?!#)|@import", text), "a style asks for something"
    assert "http" not in text.replace("http-equiv", ""), "an address is in the page"


def test_ids_are_unique_and_every_link_inside_the_page_arrives(blood: Reader) -> None:
    reader = blood
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for _, attributes in reader.tags:
        for key in ("href", "aria-labelledby", "xlink:href"):
            value = attributes.get(key)
            if value is not None and not value.startswith("data:"):
                for one in value.split():
                    assert one.removeprefix("#") in ids, f"{key}={value!r} leads nowhere"
        clip = attributes.get("clip-path")
        if clip is not None:
            assert clip.removeprefix("url(#").removesuffix(")") in ids


def test_every_picture_says_what_it_shows_and_every_heading_has_its_rank(blood: Reader) -> None:
    reader = blood
    for element, attributes in reader.tags:
        if element == "img":
            assert attributes["alt"], "an image without words"
        if element == "svg" and attributes.get("aria-hidden") != "true":
            assert attributes["role"] == "img"
            assert attributes["aria-labelledby"]
    ranks = [int(one[1]) for one, _ in reader.tags if re.fullmatch(r"h\d", one)]
    assert ranks[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(ranks))


def test_what_to_do_comes_first_then_how_good_then_why() -> None:
    found = advices.verdict(VerdictKind.UNDECIDED, limiting="random twin")
    text = read(advices.blood(verdict=found)).text
    order = (
        "What to do",
        "Usable, with one question open",
        "Still open",
        "train-probe",
        "UNDECIDED",
        "How good will",
        "Why: is",
    )
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


@pytest.mark.parametrize("kind", VerdictKind)
def test_what_is_promised_is_bounded_before_anything_is_to_be_done(kind: VerdictKind) -> None:
    reader = read(advices.blood(verdict=advices.verdict(kind)))
    text = reader.text
    assert text.index("What to do") < text.index(CAUTION) < text.index("The verdict in a word")
    assert reader.raw.index(CAUTION) < reader.raw.index("<ol"), "the steps come before it"


VERDICTS = [kind.value for kind in VerdictKind]


@pytest.mark.parametrize("kind", VerdictKind)
@pytest.mark.parametrize("limiting", advices.BASELINES)
def test_the_box_has_the_colour_of_its_verdict_and_the_page_its_word_once(
    kind: VerdictKind, limiting: str
) -> None:
    reader = read(advices.blood(verdict=advices.verdict(kind, limiting=limiting)))
    assert [word for word in re.findall(r"[A-Z_]{5,}", reader.text) if word in VERDICTS] == [kind]
    classes = [rest["class"] for _, rest in reader.tags if "lead" in (rest.get("class") or "")]
    assert classes == [f"lead {kind.lower()}"]
    colour = re.search(rf"\.{kind.lower()}\b[^{{}}]*{{ --verdict: var\(--(\w+)\)", reader.raw)
    assert colour is not None
    is_fine, is_open = kind is VerdictKind.POSITIVE, kind is VerdictKind.UNDECIDED
    assert (colour[1] == "green", colour[1] == "amber") == (is_fine, is_open)
    assert len(re.findall(rf"--{colour[1]}: #", reader.raw)) == 2, "light and dark"


def test_figures_in_the_page_are_the_advice_s() -> None:
    advice = advices.blood(accuracy=Accuracy(0.8123, 0.7346, 0.8766))
    text = read(advice).text
    assert "81.2 %" in text
    assert "73.5 to 87.7 %" in text
    for one in advice.layers:
        assert f"{100 * one.accuracy.estimate:.1f} %" in text
    for baseline in advice.verdict.baselines:
        assert f"{100 * baseline.difference:+.1f}" in text
    for forecast in advice.sufficiency.forecasts:
        assert f"{100 * forecast.low:.1f} to {100 * forecast.high:.1f} %" in text
    assert "40 of 49" in text


@pytest.mark.parametrize("k", [2, 12, 13, 100])
def test_few_classes_are_a_table_and_many_a_drawing_within_the_size(k: int) -> None:
    names = tuple(f"{i} {'n' * 490}" for i in range(k))
    noise = b"\xff\xd8\xff" + b"x" * (LARGEST_THUMBNAIL - 5) + b"\xff\xd9"
    advice = advices.blood(confusion=advices.confusion(names, thumbnail=noise))
    reader = read(advice)
    assert any(rest.get("class") == "matrix" for _, rest in reader.tags) == (k <= 12)
    size = len(reader.raw.encode())
    assert size < LIMIT, f"{size:,} bytes for {k} classes"


def test_the_same_advice_gives_the_same_page() -> None:
    assert page(advices.blood()) == page(advices.blood())


def test_a_page_is_made_of_an_advice_with_next_to_nothing_in_it() -> None:
    full = advices.blood()
    bare = replace(
        full,
        classes=(),
        layers=(advices.layer(1, 1.0),),
        chosen=advices.place(1),
        cheapest=advices.place(1),
        last=advices.place(1),
        verdict=replace(full.verdict, kind=VerdictKind.UNDECIDED, limiting="", baselines=()),
        sufficiency=replace(full.sufficiency, points=(), forecasts=(), weakest_classes=()),
        scenario=replace(advices.scenario(Recommendation.FINE_TUNE), familiarity=None),
        confusion=Confusion((), (), ()),
    )
    assert "No held-out answers came with this advice." in read(bare).text
    for kind in VerdictKind:
        read(replace(bare, verdict=replace(bare.verdict, kind=kind)))
    read(replace(bare, layers=()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg onload=alert(1)>\xff\xd9",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff" + b"x" * LARGEST_THUMBNAIL + b"\xff\xd9",
    ],
    ids=["none", "png", "svg", "torn", "huge"],
)
def test_what_is_no_small_jpeg_is_no_image(data: bytes) -> None:
    assert "<img" not in thumbnail(data, "a cell")
    assert "a cell" in thumbnail(data, "a cell")


def test_a_jpeg_is_an_image_inside_the_page() -> None:
    assert thumbnail(advices.jpeg(), "a cell").startswith('<img src="data:image/jpeg;base64,/9j/')


def test_a_tag_escapes_texts_and_attributes_but_not_markup() -> None:
    made: Any = tag("p", "<b>", tag("i", "&"), title='"<>', hidden=None)
    assert made == '<p title="&quot;&lt;&gt;">&lt;b&gt;<i>&amp;</i></p>'
    assert isinstance(made, Markup)


def test_a_long_name_keeps_its_ends_and_tells_all_of_it_in_its_title() -> None:
    name = "a" * 30 + "b" * 300 + "c" * 30
    shown = label(name)
    assert re.search(r">a{26}…c{13}<", shown)
    assert name in html.unescape(shown)


def test_data_hold_no_character_that_could_end_their_block() -> None:
    block = data_block("x", {"a": "</script><!--&"})
    inside = block.removeprefix('<script type="application/json" id="x">')
    assert not set("<>&") & set(inside.removesuffix("</script>"))


def test_commands_are_copied_as_they_are_typed_and_options_stay_whole() -> None:
    advice = advices.blood()
    box = str(summary.to_do(advice))
    shown = re.findall(r"<pre><code>(.*?)</code></pre>", box, re.DOTALL)
    typed = ["\n".join(step.commands) for step in steps.steps(advice) if step.commands]
    assert [html.unescape(re.sub(r"</?span>", "", one)) for one in shown] == typed
    assert "<span>--layer</span> 21" in box


def test_the_forecast_for_today_is_told_beside_another_figure_at_the_top() -> None:
    advice = advices.blood()
    assert "found at the top" not in str(enough.enough(advice)), "they are the same"
    today = figures.percent(advice.sufficiency.forecasts[0].estimate)
    other = replace(advice, accuracy=Accuracy(0.934, 0.9, 0.96))
    told = html.unescape(str(enough.enough(other)))
    assert f"for today it has {today}, where {figures.percent(0.934)} was found at the top" in told


def test_how_many_of_the_mistakes_have_pictures_is_told_where_not_all_have() -> None:
    found = advices.confusion(("ant", "bee", "cat"))
    n_wrong = sum(n for i, row in enumerate(found.counts) for j, n in enumerate(row) if i != j)
    wrong = [one for one in found.examples if one.label != one.predicted]
    assert 0 < len(wrong) < n_wrong
    told = str(mistakes.mistakes(advices.blood(confusion=found)))
    assert f"These are {len(wrong)} of the {n_wrong} mistakes." in told
