"""Each dashboard is one that Grafana takes, as far as its documents say: no Grafana has opened them here.

What its JSON model has is listed field by field, so that a misspelled one, which Grafana would leave out without a
word, is found here.
"""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from tests.observability.rules import dashboards

ALL = dashboards()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
#: Since Grafana 10.
SCHEMA_VERSION = 38
#: Units by Grafana's own ids.
UNITS = {"short", "s", "reqps", "percentunit", "bytes"}
PANEL = {"id", "type", "title", "datasource", "gridPos", "fieldConfig", "targets", "options"}
LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
#: By panel type.
OPTIONS = {
    "timeseries": {"legend": LEGEND, "tooltip": {"mode": "multi"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"},
}
each_dashboard = pytest.mark.parametrize("dashboard", ALL.values(), ids=ALL.keys())
each_panel = pytest.mark.parametrize(
    "panel",
    [panel for dashboard in ALL.values() for panel in dashboard["panels"]],
    ids=[f"{name}-{panel['id']}" for name, dashboard in ALL.items() for panel in dashboard["panels"]],
)


@each_dashboard
def test_a_dashboard_has_the_fields_of_grafana_s_model_and_no_other(dashboard):
    lists = {"panels", "tags", "links"}
    texts = {"uid", "title", "description", "refresh", "timezone"}
    rest = {"schemaVersion", "version", "editable", "time", "templating", "annotations"}
    assert set(dashboard) == lists | texts | rest
    assert all(isinstance(dashboard[name], list) for name in lists)
    assert all(isinstance(dashboard[name], str) and dashboard[name] for name in texts)
    assert re.fullmatch(r"[a-z0-9-]{1,40}", dashboard["uid"])
    assert (dashboard["schemaVersion"], dashboard["editable"]) == (SCHEMA_VERSION, True)
    assert dashboard["time"] == {"from": "now-6h", "to": "now"}
    assert dashboard["annotations"] == {"list": []}


@each_dashboard
def test_whoever_imports_it_chooses_the_prometheus_and_finds_the_other_dashboards(dashboard):
    (variable,) = dashboard["templating"]["list"]
    assert variable == {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    (link,) = dashboard["links"]
    assert link == {"type": "dashboards", "tags": dashboard["tags"], "title": "Invoices", "asDropdown": True}


def test_dashboards_are_told_apart():
    for name in ("uid", "title"):
        assert len({dashboard[name] for dashboard in ALL.values()}) == len(ALL)


@each_dashboard
def test_panels_have_ids_and_titles_of_their_own_and_lie_side_by_side(dashboard):
    panels = dashboard["panels"]
    for name in ("id", "title"):
        assert len({panel[name] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert set(place) == {"x", "y", "w", "h"}
        assert all(isinstance(value, int) and value >= 0 for value in place.values())
        assert place["w"] > 0 < place["h"]
        assert place["x"] + place["w"] <= COLUMNS
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@each_panel
def test_a_panel_has_the_fields_of_its_type_and_no_other(panel):
    assert set(panel) - {"description"} == PANEL
    assert panel["options"] == OPTIONS[panel["type"]]
    assert panel["datasource"] == SOURCE
    assert set(panel["fieldConfig"]) == {"defaults", "overrides"}
    assert panel["fieldConfig"]["overrides"] == []
    defaults = panel["fieldConfig"]["defaults"]
    assert set(defaults) <= {"unit", "min", "max", "thresholds", "custom"}
    # The goal as a line, where a time series has thresholds.
    drawn = panel["type"] == "timeseries" and "thresholds" in defaults
    assert defaults.get("custom") == ({"thresholdsStyle": {"mode": "line"}} if drawn else None)
    assert defaults["unit"] in UNITS
    if "thresholds" in defaults:
        assert defaults["thresholds"]["mode"] == "absolute"
        first, *further = defaults["thresholds"]["steps"]
        assert (set(first), first["value"]) == ({"color", "value"}, None)
        values = [step["value"] for step in further]
        assert values == sorted(values)


@each_panel
def test_a_query_has_a_name_of_its_own_and_its_legend_names_labels_that_it_keeps(panel):
    targets = panel["targets"]
    assert [target["refId"] for target in targets] == [chr(ord("A") + place) for place in range(len(targets))]
    for target in targets:
        assert {"refId", "expr"} <= set(target) <= {"refId", "expr", "legendFormat"}
        kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
        named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        assert named <= kept or not kept, (named, kept)
