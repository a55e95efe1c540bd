"""The metrics of real processes: each declares every family, and what happened has moved what counts it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from tests.acceptance.system import START_SECONDS, System, nebulox_order, zeroxhost_order
from tests.callbacks import nebulox_callback, post
from tests.servers import free_port
from workers.telemetry.families import FAMILIES

pytestmark = pytest.mark.engines

#: By whom each family was moved. What must be nothing on a healthy system is moved in test_metrics_in_trouble.
MOVED = {
    "invoices_payable_seconds_count": "worker",
    "invoices_expiry_lateness_seconds_count": "worker",
    "invoices_event_first_try_seconds_count": "worker",
    "invoices_event_delivered_seconds_count": "worker",
    "invoices_callback_seconds_count": "worker",
    "invoices_provider_calls_total": "worker",
    "invoices_provider_call_seconds_count": "worker",
    "invoices_delivery_attempts_total": "worker",
    "invoices_work_seconds_count": "worker",
    "invoices_commit_seconds_count": "worker",
    "invoices_committed_results_total": "worker",
    "invoices_changes_total": "worker",
    "invoices_rejected_messages": "web",
    "invoices_workers_wanted": "web",  # known from the second look on
    "invoices_bound_by": "web",
    "invoices_store_readable": "web",
    "invoices_callbacks_total": "web",
    "invoices_callback_kept_seconds_count": "web",
    "invoices_web_requests_total": "web",
    "invoices_web_request_seconds_count": "web",
}
#: Shown by the web process of the rows, whatever their value is.
SHOWN = (
    "invoices_agenda_overdue_seconds",
    "invoices_in_doubt",
    "invoices_contradictions_open",
    "invoices_unmatched_callbacks",
    "invoices_parked",
    "invoices_account_refused",
    "invoices_endpoint_breaker_open",
    "invoices_endpoint_backlog_seconds",
    "invoices_endpoint_disabled",
    "invoices_stream_behind_seconds",
    "invoices_clock_skew_seconds",
)
ROLES = ("intake", "worker", "beat", "web")


@pytest.fixture
def system(tmp_path):
    with System(tmp_path, accounts={"nebulox": {"poll_seconds": 3600}}, lifetime_seconds=900) as system:
        system.environment["INVOICES_METRICS_PORT"] = "19400+"
        yield system


def url_of(system, name):
    if name == "web":
        return f"{system.web_url()}/metrics"

    def logged():
        return re.findall(r'"url": ?"(http://127\.0\.0\.1:\d+/metrics)"', system.new_log(name))

    return system.wait_until(logged, f"{name} says where its metrics are")[0]


def metrics_of(system, name):
    """What a process shows of itself, at the address that it has logged."""
    with urllib.request.urlopen(url_of(system, name), timeout=60) as answer:
        return answer.read().decode()


def values_of(text, name):
    """The values of a metric's samples."""
    return [float(found) for found in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)]


def live_through(system):
    """Orders that are paid, called back, expired and turned away."""
    system.add_receiver()
    system.order(nebulox_order("called"), nebulox_order("ends", lifetime_minutes=0.02), {"account": "nebulox"})
    system.order(zeroxhost_order("asked"))
    system.wait_for_statuses("called", pending=1)
    (made,) = system.control("invoices?order_id=called")["invoices"]
    system.control("pay", {"provider": "nebulox", "order_id": "called"})
    body = nebulox_callback("called", "COMPLETED", trackingCode=made["number"], amount=made["pay_amount"])
    assert post(f"{system.web_url()}/callbacks/nebulox", body)[0] == 200
    system.wait_for_statuses("called", paid=1)
    system.wait_for_statuses("ends", expired=1)
    system.wait_until_told()


def has_moved(system, name, role):
    return any(value > 0 for value in values_of(metrics_of(system, role), name))


def test_every_process_shows_every_family_and_what_happened_is_counted(system):
    system.start(*ROLES)
    live_through(system)
    for name, role in MOVED.items():
        system.wait_until(lambda name=name, role=role: has_moved(system, name, role), f"{name} of the {role} has moved")
    texts = {role: metrics_of(system, role) for role in ROLES}
    for role, text in texts.items():
        assert set(re.findall(r"^# TYPE (invoices_\w+)", text, re.MULTILINE)) == {one.name for one in FAMILIES}
        assert values_of(text, rf'invoices_build_info{{role="{role}",version="[^"]+"}}') == [1]
    assert [name for name in SHOWN if not values_of(texts["web"], name)] == []
    assert not any(values_of(texts[role], name) for role in ("intake", "worker", "beat") for name in SHOWN)
    assert len(values_of(texts["worker"], "invoices_slots_used")) == 7
    check_labels(system, texts)
    check_with_promtool(texts)


def check_labels(system, texts):
    """Nothing of an order, and nothing that is reached or signed with."""
    found = {label for text in texts.values() for label in re.findall(r'\w+="([^"]*)"', text)}
    assert {"nebulox", "zeroxhost", "delivered"} <= found
    ids = {row["id"] for row in system.invoices().values()} | set(system.invoices())
    assert not [label for label in found if label in ids or re.search(r"://|inv_|evt_|whsec_|sandbox-.*key|@", label)]


def check_with_promtool(texts):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: it comes with Debian's package prometheus. All else has been checked")
    for text in texts.values():
        command = [promtool, "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=START_SECONDS, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_port_that_is_taken_stops_the_start_and_a_stop_frees_it(system):
    port = free_port()
    system.environment["INVOICES_METRICS_PORT"] = str(port)
    system.start("worker")
    system.launch("intake")
    system.wait_until(lambda: system.processes["intake"].poll() is not None, "the second process ends")
    said = f"invoices: INVOICES_METRICS_PORT: port {port} of 127.0.0.1 is taken by another process"
    assert said in system.log("intake")
    system.kill("worker", signal.SIGTERM)
    system.processes.pop("intake", None)
    system.start("intake")
    assert metrics_of(system, "intake")
