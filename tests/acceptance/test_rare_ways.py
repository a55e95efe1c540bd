"""What happens rarely, by processes that have their own rights only: acts of people in the console and by command,
jobs, retention, replays, callbacks that nobody knows, endpoints that are given up."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from tests.acceptance.system import PATIENT, ROOT, System, nebulox_order, running, zeroxhost_order
from tests.acceptance.test_callbacks import call_back, pay
from tests.acceptance.test_http_orders import connect
from tests.acceptance.test_least_privilege import refused_in_log
from tests.callbacks import nebulox_callback, post
from tests.least_privilege import Logins

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ACCOUNTS = {
    "nebulox": {**PATIENT, "poll_seconds": 3600},
    "zeroxhost": {**PATIENT, "poll_seconds": 0.3},
    "late": {**PATIENT, "provider": "nebulox", "late_payment": "hold"},
    "held": {**PATIENT, "provider": "nebulox", "on_doubt": "hold"},
}
WHY = ("--reason", "a test")
SITE = {"sec-fetch-site": "same-origin"}
PAGES = (
    *("", "invoices", "endpoints", "deliveries", "accounts", "accounts/nebulox", "jobs", "audit", "people", "settings"),
    *("contradictions", "doubts", "rejected", "unmatched", "search?q=act-1", "deliveries/1", "rejected/1"),
)
#: Everything that has an age becomes as old as this; what is removed by age is due.
AGED = """
UPDATE event SET created_at = created_at - interval '400 days';
UPDATE evidence SET at = at - interval '400 days';
UPDATE callback SET at = at - interval '400 days';
UPDATE forged_callback SET at = at - interval '400 days';
UPDATE rejected_message SET at = at - interval '400 days';
UPDATE agenda SET due_at = now() WHERE stage = 'retain';
"""


@pytest.fixture(scope="module")
def postgres_database(postgres_url):
    """For all tests here."""
    from tests.engines import new_postgres_database

    with new_postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def system(tmp_path_factory, postgres_database):
    logins = Logins(postgres_database)
    home = tmp_path_factory.mktemp("rare")
    system = System(home, database_url=postgres_database, accounts=ACCOUNTS, logins=logins)
    with running(system, "intake", "worker", "web", "beat") as system:
        yield system


@pytest.fixture(scope="module")
def endpoint(system):
    (endpoint,) = system.command("endpoints", "list", "--json")
    return endpoint["id"]


@pytest.fixture(autouse=True)
def nobody_lacks_a_right(system):
    yield
    assert refused_in_log(system) == []
    assert system.errors() == []


@pytest.fixture(scope="module")
def anna(system):
    """Somebody who has signed in at the console and may do everything."""
    (added,) = system.command("users", "add", "anna", "--role", "admin", *WHY, "--json")
    with httpx.Client(base_url=system.web_url(), headers=SITE, timeout=60, trust_env=False) as browser:
        signed = browser.post("/console/sign-in", data={"name": "anna", "password": added["password"]})
        assert signed.status_code == 303, signed.text
        yield browser


def change(system, statements):
    """As the owner of the tables."""
    with system.engine.begin() as connection:
        for statement in statements.strip().split(";\n"):
            connection.exec_driver_sql(statement)


def test_cancelled_marked_and_rechecked_by_command(system):
    system.order(*(nebulox_order(f"act-{n}") for n in range(4)), zeroxhost_order("asked"))
    system.wait_for_statuses("act-", pending=4)
    system.wait_for_statuses("asked", pending=1)
    for _ in range(2):
        system.publish("invoices.cancel", {"account": "nebulox", "order_id": "act-0"})
    system.command("cancel", "act-1", "--json")
    system.command("mark", "act-2", "failed", *WHY, "--json")
    system.command("recheck", "asked", "--json")
    system.command("mark", "asked", "paid", "--amount", "1", *WHY, "--json")
    system.wait_for_statuses("act-", pending=1, cancelled=2, failed=1)
    system.order(nebulox_order("act-3"), nebulox_order("act-3", price="99"))  # a repeat, and another order of the id
    system.wait_until(lambda: system.command("rejected", "--json"), "the other is rejected")


def test_one_that_stays_expired_is_settled_by_command(system):
    system.order(nebulox_order("stays", account="late", lifetime_minutes="0.03"))
    system.wait_for_statuses("stays", expired=1)
    pay(system, "stays")
    (made,) = system.control("invoices?order_id=stays")["invoices"]
    told = nebulox_callback("stays", "COMPLETED", trackingCode=made["number"], amount=made["pay_amount"])
    assert post(f"{system.web_url()}/callbacks/late", told)[0] == 200
    system.wait_until(lambda: system.command("contradictions", "--account", "late", "--json"), "it is held")
    for _ in range(2):
        system.command("mark", "stays", "expired", *WHY, "--json")
        assert system.command("contradictions", "--account", "late", "--json") == []
    assert system.statuses("stays") == {"expired": 1}


def test_callbacks_unmatched_linked_dismissed_forged_and_given_back(system):
    url = f"{system.web_url()}/callbacks/nebulox"
    for code in ("NBX-LINK", "NBX-DISMISS"):
        assert post(url, nebulox_callback("nobody", "PENDING", trackingCode=code))[0] == 200
    headers = {"x-signature": "00" * 64}
    forged = httpx.post(url, content=nebulox_callback("act-3"), headers=headers, timeout=60, trust_env=False)
    assert 400 <= forged.status_code < 500
    system.wait_until(lambda: system.rows("SELECT 1 FROM forged_callback"), "the forged one is kept")
    system.wait_until(lambda: len(system.command("unmatched", "list", "--json")) == 2, "both are unmatched")
    first, second = (one["id"] for one in system.command("unmatched", "list", "--json"))
    system.command("unmatched", "link", str(first), "act-3", *WHY, "--json")
    system.command("unmatched", "dismiss", str(second), *WHY, "--json")


def test_an_answer_that_is_lost_is_held_and_created_again_by_hand(system):
    system.control("faults", {"provider": "nebulox", "fault": "reset", "match": "lost"})
    system.order(nebulox_order("lost-1", account="held"), nebulox_order("lost-2", account="held"))
    system.wait_for_statuses("lost-", in_doubt=2)
    system.control("faults", method="DELETE")
    system.command("redrive", "doubt", "lost-1", *WHY, "--json")
    system.command("mark", "lost-2", "failed", *WHY, "--json")
    system.wait_for_statuses("lost-", pending=1, failed=1)


def test_rejected_messages_and_parked_rows_are_tried_again(system):
    system.order(nebulox_order("bad", price="-1"), nebulox_order("elsewhere", account="nobody"))
    system.publish("invoices.create_many", {"orders": [nebulox_order("many-1"), nebulox_order("many-2", price="0")]})
    system.wait_for_statuses("many-", pending=1)
    system.wait_until(lambda: len(system.command("rejected", "--waiting", "--json")) >= 3, "they are listed")
    system.command("redrive", "rejected", "--all", *WHY, "--json")
    change(system, "UPDATE agenda SET claims = 5 WHERE stage = 'check'")
    system.command("redrive", "parked", *WHY, "--json")


def test_an_endpoint_that_refuses_is_disabled_enabled_replayed_to_and_removed(system, endpoint, anna):
    gone = system.add_receiver(name="gone")
    system.ask(f"{system.sandbox.receiver_url('gone')}/faults", {"status": 410})
    system.order(zeroxhost_order("told", "~pay:1~"))
    system.wait_for_statuses("told", paid=1)
    system.wait_until(
        lambda: any(one["disabled_at"] for one in system.command("endpoints", "list", "--json") if one["id"] == gone),
        "a worker disables it",
    )
    system.ask(f"{system.sandbox.receiver_url('gone')}/faults", method="DELETE")
    command = [sys.executable, "-m", "workers.cli", "endpoints", "enable", gone]
    subprocess.run(command, cwd=ROOT, env=system.environment_of("people"), check=True)
    system.command("deliveries", "replay", "--endpoint", gone, "--since", "1h", "--newest-only", *WHY, "--json")
    (event,) = system.command("events", "told", "--json")[-1:]
    system.command("deliveries", "replay", event["id"], *WHY, "--json")
    begun = anna.post(
        f"/console/endpoints/{endpoint}/replay",
        data={"what": "newest", "reason": "a test", "seen": "100"},
    )
    assert begun.status_code == 303, begun.text
    system.wait_until(lambda: system.rows("SELECT 1 FROM replay_job WHERE state = 'done'"), "the replay is done")
    change(system, "UPDATE replay_job SET finished_at = finished_at - interval '400 days'")
    begun = anna.post(
        f"/console/endpoints/{endpoint}/replay", data={"what": "newest", "reason": "again", "seen": "100"}
    )
    system.wait_until(lambda: system.rows("SELECT 1 FROM replay_job WHERE state = 'done'"), "and the next")
    system.command("endpoints", "remove", gone, "--json")


def test_the_console_s_jobs_pages_and_people(system, anna):
    system.order(*(nebulox_order(f"job-{n}") for n in range(3)))
    system.wait_for_statuses("job-", pending=3)
    for number in (1, 2):
        fields = {"do": "cancel", "filter": f"q=job-{number}", "reason": "a test", "seen": "100"}
        assert anna.post("/console/jobs", data=fields).status_code == 303
        system.wait_until(lambda: system.rows("SELECT 1 FROM bulk_job WHERE state = 'done'"), "the job is done")
        change(system, "UPDATE bulk_job SET finished_at = finished_at - interval '400 days'")
    for page in PAGES:
        answer = anna.get(f"/console/{page}", follow_redirects=True)
        assert answer.status_code == 200, page
    (bert,) = system.command("users", "add", "bert", "--role", "viewer", "--json")
    assert bert["password"]
    system.command("users", "role", "bert", "--role", "operator", "--json")
    system.command("users", "password", "bert", "--json")
    system.command("users", "end-sessions", "bert", "--json")
    system.command("users", "remove", "bert", "--json")
    assert anna.post("/console/sign-out").status_code in {200, 303}


def test_tokens_of_the_http_interface_are_used_and_revoked(system):
    (token,) = system.command("tokens", "add", "shop", "--scope", "orders", "--scope", "read", "--json")
    with connect(system, token["token"]) as shop:
        for _ in range(2):
            sent = shop.post("/v1/orders", json=nebulox_order("by-http"), headers={"prefer": "wait=30"})
            assert sent.status_code in {200, 201, 202}, sent.text
        assert shop.post("/v1/orders/cancel", json={}).status_code >= 400
        assert shop.get("/v1/events", params={"limit": 2}).status_code == 200
        assert shop.get("/v1/invoices", params={"order_id": "by-http"}).status_code == 200
        system.command("tokens", "revoke", token["id"], "--json")
        assert shop.get("/v1/events").status_code == 401


def test_what_is_paid_twice_or_called_back_late_is_kept_as_evidence(system):
    system.order(nebulox_order("twice"))
    system.wait_for_statuses("twice", pending=1)
    pay(system, "twice")
    for _ in range(3):
        assert call_back(system, "twice")[0][0] == 200
    system.wait_for_statuses("twice", paid=1)
    system.redis.lpush("invoices.work", "no message")
    system.wait_until(lambda: system.rows("SELECT 1 FROM rejected_message WHERE task IS NULL"), "nonsense is listed")
    system.order(zeroxhost_order("drifts", "~look_up_fault:new_word*3~"))
    system.wait_until(lambda: system.command("drift", "list", "--json"), "drift is told")
    (drift, *_) = system.command("drift", "list", "--json")
    system.command("drift", "accept", str(drift["id"]), *WHY, "--json")


def test_what_is_old_is_removed(system):
    system.wait_until_told()
    change(system, AGED)
    system.wait_until(lambda: not system.rows("SELECT 1 FROM event LIMIT 1"), "events are removed")
    system.wait_until(lambda: not system.rows("SELECT 1 FROM rejected_message LIMIT 1"), "messages are removed")
