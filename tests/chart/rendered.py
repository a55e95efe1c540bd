"""Renders the chart in the environment that has Helm, many cases at a time."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
EXAMPLE: dict[str, Any] = yaml.safe_load((CHART / "example.values.yaml").read_text())
#: The oldest that the chart takes, and the newest whose schemas we have.
VERSIONS = ("1.30", "1.37")

#: Changes to the example that turn on all that can be.
ALL_ON: dict[str, Any] = {
    "autoscaling.enabled": True,
    "autoscaling.prometheusAddress": "http://prometheus.monitoring:9090",
    "metrics.podMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "metrics.prometheusRule": {"enabled": True, "runbookPrefix": "https://books.example/"},
    "networkPolicy.metricsFrom": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ],
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
}

Documents = Sequence[dict[str, Any]]


def example(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The example's values with changes by dotted path; None takes a value away."""
    values = copy.deepcopy(EXAMPLE)
    for path, value in changes.items():
        *folders, last = path.split(".")
        place = values
        for folder in folders:
            place = place.setdefault(folder, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return values


@cache
def python_with_helm() -> Path:
    """Skips the test where there is none."""
    place = ROOT / ".venv" / "chart"
    installed, pins = place / "installed.txt", ROOT / "deploy" / "requirements" / "chart.txt"
    if not installed.is_file() or installed.read_bytes() != pins.read_bytes():
        pytest.skip("Helm is not here: deploy/chart/tools.sh fetches it (350 MB)")
    return place / "bin" / "python"


def render(cases: Sequence[Mapping[str, Any]], name: str = "shop", namespace: str = "pay") -> list[Any]:
    """Of each case's values: {"documents", "faults", "notes"} or {"error"}."""
    release = {"name": name, "namespace": namespace, "versions": VERSIONS}
    asked = json.dumps([{"values": values, **release} for values in cases])
    command = [str(python_with_helm()), str(Path(__file__).with_name("render.py")), str(CHART)]
    ran = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    answers: list[Any] = json.loads(ran.stdout)
    for answer in answers:
        answer["documents"] = [document for _, document in answer.get("documents", [])]
    return answers


def of_kind(documents: Documents, kind: str) -> dict[str, dict[str, Any]]:
    """By what comes after the release's name."""
    found = [one for one in documents if one["kind"] == kind]
    return {one["metadata"]["name"].removeprefix("shop-invoices").removeprefix("-"): one for one in found}
