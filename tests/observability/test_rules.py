"""Every alert is whole: a page, a firing and a quiet case, metrics that exist; Prometheus' own tool says the same."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.observability.alert_cases import CASES, Case
from tests.observability.rules import HOW, NAME, PROMTOOL, ROOT, RULE_FILES, RUNBOOKS, alerts, queries, recorded
from workers.stages.told import OUTCOMES, TIMED_OUT
from workers.telemetry.families import FAMILIES, Kind

FAMILY = {family.name: family for family in FAMILIES}
SUFFIX = re.compile(r"_(bucket|count|sum)$")
#: Labels that Prometheus adds to what it reads.
ADDED = {"le", "instance", "job"}
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=f"no promtool: {HOW}")


def family_of(name):
    """The metric that a series belongs to; a histogram has its suffixes, nothing else has."""
    base = SUFFIX.sub("", name)
    if base in FAMILY and FAMILY[base].kind is Kind.HISTOGRAM:
        assert base != name, f"{name} is a histogram: _bucket, _count or _sum"
        return FAMILY[base]
    return FAMILY[name]


def expressions():
    """Every expression there is, with a name."""
    for alert in alerts():
        yield f"{alert.name}-{alert.severity}", alert.expr
    yield from recorded().items()
    for query in queries():
        yield f"{query.dashboard}: {query.panel}", query.expr


ALL = list(expressions())


@pytest.mark.parametrize("expr", [expr for _, expr in ALL], ids=[name for name, _ in ALL])
def test_an_expression_uses_declared_metrics_and_labels_and_recorded_series_only(expr):
    names = NAME.findall(expr)
    assert names
    known = set(ADDED)
    for name in names:
        if ":" in name:
            assert name in recorded(), name
            known.add("account")
            continue
        known.update(family_of(name).labels)
    used = {label for group in re.findall(r"\bby \(([^)]*)\)", expr) for label in re.findall(r"\w+", group)}
    used.update(re.findall(r'(\w+)=~?"', expr))
    assert used <= known, used - known


@pytest.mark.parametrize("expr", [expr for _, expr in ALL], ids=[name for name, _ in ALL])
def test_a_bound_of_a_bucket_is_one_that_the_metric_has(expr):
    for name, bound in re.findall(r'(invoices\w+_bucket)\{[^}]*le="([^"]+)"', expr):
        family = family_of(name)
        assert float(bound) in family.buckets
        assert bound == str(float(bound)), "as the client writes it"


def test_each_recorded_goal_is_the_one_that_is_declared():
    goals: dict[str, str] = {}
    for expr in recorded().values():
        goals.update(re.findall(r'(invoices\w+)_bucket\{le="([^"]+)"', expr))
    for name, bound in goals.items():
        assert FAMILY[name].goal == f"99 % < {float(bound):g} s"
    assert len(goals) == 3


@pytest.mark.parametrize("name", ["KeyRefused", "ProviderDown"])
def test_outcomes_in_rules_are_words_that_calls_have(name):
    (alert,) = (alert for alert in alerts() if alert.name == name)
    (words,) = re.findall(r'outcome=~"([^"]+)"', alert.expr)
    assert set(words.split("|")) <= {*OUTCOMES.values(), TIMED_OUT}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_an_alert_has_a_severity_words_and_a_page(alert):
    assert alert.severity in {"page", "ticket"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"deploy/runbooks/{alert.name}.md"
    assert (ROOT / alert.annotations["runbook_url"]).is_file()


def test_no_page_is_without_an_alert_but_those_for_something_to_be_done():
    done, _, alerted = (RUNBOOKS / "README.md").read_text().partition("## An alert")
    of_alerts, others = (set(re.findall(r"^\| \[(\w+)\]\(\1\.md\)", part, re.MULTILINE)) for part in (alerted, done))
    assert of_alerts == {alert.name for alert in alerts()}
    assert of_alerts | others == {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}


def test_each_alert_has_a_firing_and_a_quiet_case():
    assert sorted(case.alert for case in CASES) == sorted({alert.name for alert in alerts()})
    severities = {(alert.name, alert.severity) for alert in alerts()}
    assert severities == {(case.alert, labels["severity"]) for case in CASES for labels in case.fires}
    assert all(case.trouble and case.calm and case.calm != case.trouble for case in CASES)


@pytest.mark.engines
@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_in_trouble_and_is_quiet_otherwise(case, tmp_path):
    file = tmp_path / "alert.test.yaml"
    file.write_text(yaml.safe_dump(as_promtool_test(case)))
    ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.engines
@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules():
    ran = subprocess.run(
        ["promtool", "check", "rules", *RULE_FILES], capture_output=True, text=True, timeout=180, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def as_promtool_test(case: Case):
    """The file that promtool takes: trouble, then each calm."""
    rules = {alert.severity: alert for alert in alerts() if alert.name == case.alert}
    expected = [
        {"exp_labels": dict(labels), "exp_annotations": rules[labels["severity"]].told(labels)} for labels in case.fires
    ]
    scenes = [(case.trouble, expected), (case.calm, []), *((calm, []) for calm in case.more_calm)]
    return {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": alerts_expected}],
            }
            for series, alerts_expected in scenes
        ],
    }
