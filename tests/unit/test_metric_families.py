"""Every process declares every metric of the table; the page says the same; promtool finds nothing to object to."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from workers.telemetry.families import FAMILIES, Kind
from workers.telemetry.metrics import MOST_CHILDREN, OTHER, Children, Metrics
from workers.telemetry.page import render

ROOT = Path(__file__).parents[2]
#: What operations.md asks for, with its labels.
ASKED = {
    "invoices_payable_seconds": {"account"},
    "invoices_expiry_lateness_seconds": set(),
    "invoices_event_first_try_seconds": set(),
    "invoices_event_delivered_seconds": set(),
    "invoices_callback_seconds": {"account"},
    "invoices_agenda_overdue_seconds": {"stage"},
    "invoices_in_doubt": set(),
    "invoices_contradictions_open": set(),
    "invoices_unmatched_callbacks": set(),
    "invoices_rejected_messages": set(),
    "invoices_parked": set(),
    "invoices_provider_calls_total": {"account", "call", "outcome"},
    "invoices_provider_call_seconds": {"account", "call"},
    "invoices_account_refused": {"account"},
    "invoices_provider_drift_open": {"account"},
    "invoices_delivery_attempts_total": {"endpoint", "outcome"},
    "invoices_endpoint_breaker_open": {"endpoint"},
    "invoices_endpoint_backlog_seconds": {"endpoint"},
    "invoices_slots_used": {"stage"},
    "invoices_commit_seconds": {"stage"},
    "invoices_clock_skew_seconds": set(),
    "invoices_build_info": {"version", "role"},
    "invoices_workers_wanted": set(),
    "invoices_bound_by": {"reason"},
}
GOALS = {
    "invoices_payable_seconds": 5.0,
    "invoices_expiry_lateness_seconds": 1.0,
    "invoices_event_first_try_seconds": 2.0,
    "invoices_event_delivered_seconds": 60.0,
    "invoices_callback_seconds": 2.0,
}


def exposed(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_what_was_asked_for_is_in_the_table_with_its_labels():
    assert {one.name: set(one.labels) for one in FAMILIES if one.name in ASKED} == ASKED


def test_every_process_declares_every_metric_of_the_table():
    declared = dict(re.findall(r"^# TYPE (invoices_\w+) (\w+)$", exposed(Metrics("1")), re.MULTILINE))
    assert declared == {one.name: one.kind.value for one in FAMILIES}


def test_a_process_that_reads_no_rows_shows_no_value_for_them():
    """A zero would say that nothing is in doubt, and it has not looked."""
    assert not re.search(r"^invoices_in_doubt", exposed(Metrics("1")), re.MULTILINE)


def test_every_histogram_can_tell_whether_its_goal_was_met():
    buckets = {one.name: one.buckets for one in FAMILIES if one.kind is Kind.HISTOGRAM}
    assert all(list(found) == sorted(found) for found in buckets.values())
    assert all(goal in buckets[name] for name, goal in GOALS.items())


def test_the_page_is_made_of_the_table():
    page = (ROOT / "deploy/METRICS.md").read_text(encoding="utf-8")
    assert page == render(), "run: .venv/bin/python -m workers.telemetry.page > deploy/METRICS.md"


def test_labels_without_end_are_gathered_in_one():
    metrics = Metrics("1")
    children = Children(metrics.counter("invoices_delivery_attempts_total"))
    for number in range(MOST_CHILDREN + 3):
        children[f"ep_{number}", "failed"].inc()
    assert len(children) == MOST_CHILDREN
    gathered = {"endpoint": OTHER, "outcome": OTHER}
    assert metrics.registry.get_sample_value("invoices_delivery_attempts_total", gathered) == 3


def test_promtool_finds_nothing_to_object_to():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: it comes with Debian's package prometheus")
    metrics = Metrics("1")
    metrics.tell_role("worker")
    found = subprocess.run(
        [promtool, "check", "metrics"], input=exposed(metrics), capture_output=True, text=True, timeout=180, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
