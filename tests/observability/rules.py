"""The files of ``deploy/observability``, read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "deploy" / "runbooks"
RULE_FILES = (FOLDER / "recording.rules.yaml", FOLDER / "alerts.rules.yaml")
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
HOW = "Debian's package `prometheus` brings it (.ci/engines)"

#: Metrics and recorded series in an expression.
NAME = re.compile(r"\binvoices[a-z_:0-9]*\b")


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule."""

    name: str
    expr: str
    severity: str
    annotations: Mapping[str, str]

    def told(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The annotations for an alert with these labels."""

        def label(match: re.Match[str]) -> str:
            return labels[match[1]]

        return {name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", label, text) for name, text in self.annotations.items()}


def read_rules() -> list[dict[str, Any]]:
    """Every rule of both files."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Alert]:
    """Every alert."""
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
        for rule in read_rules()
        if "alert" in rule
    ]


def recorded() -> dict[str, str]:
    """Every recorded series with its expression."""
    return {rule["record"]: rule["expr"] for rule in read_rules() if "record" in rule}


@dataclass(frozen=True, slots=True)
class Query:
    """One of a dashboard."""

    dashboard: str
    panel: str
    expr: str


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}


def queries() -> Iterator[Query]:
    """Every query of every dashboard, of its variables too."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield Query(name, panel["title"], target["expr"])
