"""The dashboard and the alerts in deploy/ ask only for what a server says."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callers import calling, pixels
from icecore.v1 import codes_pb2 as epb
from servers import serving

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "icecore.json").read_text())
GRID = 24

METRIC = re.compile(r"\b((?:icecore|process)_[a-z_]+)(\{[^}]*\})?(\[[^\]]*\])?")
BY = re.compile(r"\bby \(([^)]*)\)")
FUNCTIONS = {"rate", "increase", "sum", "histogram_quantile", "vector", "by", "or"}
OF_PROMETHEUS = {"instance", "job", "le"}


def queries() -> Iterator[tuple[str, str]]:
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    rules = (DEPLOY / "prometheus" / "icecore.rules.yml").read_text()
    yield from re.findall(r"- alert: (\w+)\n +expr: (.+)\n", rules)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels by name of sample, as a server with tenants tells them; none where it has none yet."""
    folder = tmp_path_factory.mktemp("data") / "data"
    with (
        serving(folder, metrics="127.0.0.1:0", metrics_tenants=True) as server,
        calling(server.address) as caller,
    ):
        caller.codes.Embed(epb.EmbedRequest(images=[pixels(1)]))
        assert server.app is not None
        with urlopen(f"http://{server.app.metrics}/metrics") as answer:
            page = answer.read().decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for end in ends.get(family.type, ("",)):
            labels[family.name + end] = set()
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def test_every_query_asks_for_something_that_there_is(told: dict[str, set[str]]) -> None:
    found = list(queries())
    assert len(found) > 40
    for title, query in found:
        names = [name for name, _, _ in METRIC.findall(query)]
        if query.startswith("up{"):
            continue  # Prometheus' own
        assert names, f"{title}: {query}"
        for name, matchers, _ in METRIC.findall(query):
            assert name in told, f"{title} asks for {name}, which no server tells"
            if told[name]:
                asked = set(re.findall(r"(\w+)\s*[=!]~?\"", matchers))
                asked |= {
                    label for group in BY.findall(query) for label in re.findall(r"\w+", group)
                }
                missing = asked - told[name] - OF_PROMETHEUS
                assert not missing, f"{title}: {name} has no label {missing}"


def test_every_query_reads_as_one() -> None:
    """Brackets close, functions exist, rates are of counters over a time, quantiles keep `le`."""
    for title, query in queries():
        bare = re.sub(r'"[^"]*"', "", query)
        for opening, closing in ("()", "{}", "[]"):
            assert bare.count(opening) == bare.count(closing), f"{title}: {query}"
        called = set(re.findall(r"([a-z_]+) ?\(", bare))
        assert called <= FUNCTIONS, f"{title} calls {called - FUNCTIONS}"
        for name, _, time in METRIC.findall(query):
            is_count = name.endswith(("_total", "_bucket", "_sum", "_count"))
            assert bool(time) <= is_count, f"{title}: a rate of {name}, which is no count"
        if "histogram_quantile" in query:
            assert re.search(r"by \([^)]*\ble\b", query), f"{title}: quantiles need le"
            assert "_bucket" in query, title


def test_what_there_is_to_see_is_shown(told: dict[str, set[str]]) -> None:
    """Every count and time of ours is on the dashboard."""
    shown = {name for _, query in queries() for name, _, _ in METRIC.findall(query)}
    ours = {name for name in told if name.startswith("icecore_")}
    assert not {name for name in ours if not name.endswith(("_sum", "_count"))} - shown


def test_it_is_a_dashboard_that_can_be_imported_anywhere() -> None:
    """Ids are unique, panels do not overlap, and the data source is the viewer's choice."""
    panels = BOARD["panels"]
    assert BOARD["schemaVersion"] >= 36
    assert not [number for number, n in Counter(panel["id"] for panel in panels).items() if n > 1]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another"
        taken |= cells
        if panel["type"] != "row":
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert {source["uid"] for source in sources} == {"${datasource}"}
            assert panel["fieldConfig"]["defaults"]["unit"], f"{panel['title']} has no unit"
    variables = {one["name"] for one in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(panels)))
    assert used == variables
