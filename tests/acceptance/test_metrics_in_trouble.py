"""What should be nothing is not: each metric that a healthy system leaves alone, moved by real processes, read over
HTTP."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.acceptance.proxy import Door
from tests.acceptance.system import PATIENT, ROOT, START_SECONDS, System, nebulox_order, zeroxhost_order
from tests.acceptance.test_callbacks import call_back, pay
from tests.acceptance.test_http_orders import new_token
from tests.acceptance.test_metrics import MOVED, metrics_of, values_of
from tests.callbacks import nebulox_callback, post
from tests.chaos.clock import MissingCompilerError
from tests.contracts.stepped_clock import stepped_postgres
from tests.engines import MissingEngineError, new_postgres_database
from workers.store.agenda import MAX_CLAIMS
from workers.telemetry.families import FAMILIES

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

#: Attempts after which a breaker opens, and some.
ORDERS = 12
STREAM = "invoices:events"
PORTS = "19500+"
#: By whom each is moved here, and with which labels. In the order in which they come to be.
TROUBLED = {
    'invoices_slots_used{stage="create"}': "worker",  # for two minutes
    "invoices_stream_behind_seconds": "web",
    "invoices_endpoint_disabled": "web",
    "invoices_endpoint_backlog_seconds": "web",
    "invoices_endpoint_breaker_open": "web",
    "invoices_in_doubt": "web",
    "invoices_in_doubt_oldest_seconds": "web",
    'invoices_account_refused{account="refused"}': "web",
    'invoices_provider_drift_open{account="nebulox"}': "web",
    "invoices_contradictions_open": "web",
    "invoices_unmatched_callbacks": "web",
    "invoices_api_waiting": "web",
    "invoices_api_following": "web",
}
WITHOUT_A_WORKER = 'invoices_agenda_overdue_seconds{stage="create"}'
TROUBLES = 'invoices_troubles_total{reason="store.unavailable"}'
PARKED, SKEW, READABLE = "invoices_parked", "invoices_clock_skew_seconds", "invoices_store_readable"
#: 1 from a process's start.
CONSTANT = "invoices_build_info"


def test_every_family_is_seen_moving_by_a_test_of_real_processes():
    moved = {*MOVED, *TROUBLED, WITHOUT_A_WORKER, TROUBLES, PARKED, SKEW, READABLE, CONSTANT}
    names = {name.partition("{")[0].removesuffix("_count") for name in moved}
    assert names == {family.name for family in FAMILIES}


@pytest.fixture
def system(tmp_path):
    """The stream's name is taken by something else; an endpoint refuses everything."""
    accounts: dict[str, dict[str, Any]] = {
        "nebulox": {"poll_seconds": 3600, "on_doubt": "hold", **PATIENT},
        "refused": {"provider": "nebulox", "poll_seconds": 3600, **PATIENT},
        "slow": {"provider": "nebulox", "poll_seconds": 3600, "timeout_seconds": 120},
        "zeroxhost": {"timeout_seconds": 20},
    }
    with System(tmp_path, accounts=accounts) as system:
        system.environment["INVOICES_METRICS_PORT"] = PORTS
        system.redis.set(STREAM, "no stream")
        system.start("intake", "worker", "web")
        system.add_receiver(name="refusing")
        system.ask(f"{system.sandbox.receiver_url('refusing')}/faults", {"status": 503, "times": 10_000})
        yield system


def shown(system, name, role):
    """The values of a metric, which may be named with its labels."""
    return values_of(metrics_of(system, role), name.replace("{", r"\{").replace("}", r"\}"))


def wait_for(system, name, role="web", seconds=START_SECONDS):
    what = f"{name} of the {role} has moved"
    return system.wait_until(lambda: any(value > 0 for value in shown(system, name, role)), what, seconds)


def be_in_trouble(system):
    """Everything that a person should hear of, but for what takes a worker's end."""
    disable(system, system.add_receiver(name="off"))
    system.order(*(nebulox_order(f"many-{number}") for number in range(ORDERS)))
    system.order(
        nebulox_order("lost~fault:reset~"),
        nebulox_order("new~fault:new_field~"),
        nebulox_order("left"),
        nebulox_order("slow~fault:delay=115~", account="slow"),
        nebulox_order("turned-away~fault:inactive*99~", account="refused"),
    )
    system.wait_for_statuses("left", pending=1)
    system.command("cancel", "left", "--reason", "the customer left", "--json")
    system.wait_for_statuses("left", cancelled=1)
    pay(system, "left")
    assert call_back(system, "left")[0][0] == 200
    assert post(f"{system.web_url()}/callbacks/nebulox", nebulox_callback("nobody-knows"))[0] == 200


def disable(system, endpoint):
    command = [sys.executable, "-m", "workers.cli", "endpoints", "disable", endpoint, "--reason", "a test"]
    subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, timeout=START_SECONDS, check=True)


@contextlib.contextmanager
def somebody_waits_and_follows(system):
    """A request for an invoice's next change, and a reader of the log, until the end."""
    headers = {"authorization": f"Bearer {new_token(system, 'read')}"}
    (invoice,) = system.command("show", "many-0", "--json")
    over = threading.Event()

    def wait():
        with httpx.Client(base_url=system.web_url(), headers=headers, timeout=60, trust_env=False) as client:
            while not over.is_set():
                client.get(f"/v1/invoices/{invoice['id']}", params={"wait": 5, "after": 99})

    def follow():
        live = {**headers, "accept": "text/event-stream"}
        with (
            httpx.Client(base_url=system.web_url(), headers=live, timeout=60, trust_env=False) as client,
            client.stream("GET", "/v1/events", params={"after": 0}) as answer,
        ):
            assert answer.status_code == 200
            over.wait()

    threads = [threading.Thread(target=one) for one in (wait, follow)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def test_what_goes_wrong_moves_its_metric(system):
    be_in_trouble(system)
    with somebody_waits_and_follows(system):
        for name, role in TROUBLED.items():
            wait_for(system, name, role)
    kill_at_a_look_up(system)
    system.order(nebulox_order("nobody-makes-it"))
    wait_for(system, WITHOUT_A_WORKER)
    system.start("worker")
    wait_for(system, PARKED)


def kill_at_a_look_up(system):
    """The worker dies with a row in hand of which it is written that it killed others before."""
    system.order(zeroxhost_order("killer", "~look_up_fault:delay=290*99~"))
    held = "agenda.stage = 'check' AND lease_token IS NOT NULL AND lane LIKE 'zeroxhost%'"
    system.wait_until(lambda: system.rows(f"SELECT 1 FROM agenda WHERE {held}"), "its look-up is under way")
    with system.engine.begin() as connection:
        connection.execute(text(f"UPDATE agenda SET claims = {MAX_CLAIMS} WHERE {held}"))
    system.kill("worker", signal.SIGKILL)
    assert system.rows(f"SELECT 1 FROM agenda WHERE {held} AND claims = {MAX_CLAIMS}"), "it died with it"


def test_a_host_s_clock_that_is_off_and_a_database_that_is_away_are_seen(tmp_path):
    with contextlib.ExitStack() as stack:
        try:
            server, clock = stack.enter_context(stepped_postgres())
        except (MissingCompilerError, MissingEngineError) as error:
            pytest.skip(str(error))
        direct = stack.enter_context(new_postgres_database(server))
        url = make_url(direct)
        folder, port = url.query.get("host"), url.port or 5432
        door = stack.enter_context(Door(f"{folder}/.s.PGSQL.{port}" if folder else (url.host or "127.0.0.1", port)))
        through = url.set(host="127.0.0.1", port=door.port, query={}).render_as_string(hide_password=False)
        system = stack.enter_context(System(tmp_path, database_url=through, direct_database_url=direct))
        system.environment["INVOICES_METRICS_PORT"] = PORTS
        system.start("worker", "web")
        wait_for(system, READABLE)
        clock.set_ahead(600)
        system.wait_until(lambda: any(value < -500 for value in shown(system, SKEW, "web")), "the host is behind")
        door.shut()
        system.wait_until(lambda: shown(system, READABLE, "web") == [0], "the database can't be read")
        assert shown(system, SKEW, "web") == [], "nothing old is shown"
        wait_for(system, TROUBLES, "worker")
        door.open()
        wait_for(system, READABLE)
