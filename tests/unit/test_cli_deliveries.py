"""`invoices deliveries` and what `invoices endpoints` says of an endpoint's health and secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis import Redis
from sqlalchemy import select

from domain.evidence import CancelRequested, Created
from workers.coordination.breaker import key_of
from workers.delivery.secretbox import new_key
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import MAX_IN_FLIGHT
from workers.store.judging import Judgement
from workers.store.operate import replay as jobs
from workers.store.tables import ENDPOINT, EVENT

ANSWER = b"<h1>Busy</h1>\nsee you\x07" + b"." * 2000
WEEK_AGO = "7d"


@pytest.fixture
def endpoint(invoices, monkeypatch):
    """Adds an endpoint nobody listens at; its JSON."""
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")

    def add(*flags):
        (added,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", *flags, "--json").lines
        return added

    return add


@pytest.fixture
def tell(store, add_order):
    """An invoice that was made and cancelled: two events; returns their ids."""

    def two_events(order_id):
        invoice_id = add_order(order_id)
        store.judge([Judgement(invoice_id, Created(provider_ref=f"ref-{order_id}"))])
        store.judge([Judgement(invoice_id, CancelRequested(reason="sold out"))])
        with store.database.reading() as connection:
            query = select(EVENT.c.id).where(EVENT.c.invoice_id == invoice_id).order_by(EVENT.c.sequence)
            return connection.execute(query).scalars().all()

    return two_events


@pytest.fixture
def settle(store):
    """What comes of the first delivery due at an endpoint."""

    def settle(endpoint_id, outcome="delivered", **fields):
        delivery, *others = store.claim_deliveries(endpoint_id, 100, 60)
        store.release([other.claim for other in others])
        store.settle([DeliveryAttempt(delivery, outcome, **fields)])
        return delivery

    return settle


# ------------------------------------------------------------ show


def test_a_delivery_is_shown_with_every_try_and_what_came_back(invoices, endpoint, tell, settle):
    endpoint_id = endpoint()["id"]
    first, second = tell("order-1")
    settle(endpoint_id, "failed", error="status: 503", status=503, latency_ms=12, answer=ANSWER, wait_seconds=5.0)

    (shown,) = invoices("deliveries", "show", first, "--json").lines
    assert (shown["event_id"], shown["state"], shown["tries"], shown["waits_for"]) == (first, "due", 1, None)
    (attempt,) = shown["attempts"]
    assert attempt["answer"] == ANSWER.decode()
    assert (attempt["status"], attempt["latency_ms"], attempt["error"]) == (503, 12, "status: 503")
    assert attempt["next_try_at"] == shown["next_try_at"]
    (waiting,) = invoices("deliveries", "show", second, "--json").lines
    assert waiting["waits_for"] == shown["id"]
    assert invoices("deliveries", "show", shown["id"], "--json").lines == [shown]

    text = invoices("deliveries", "show", shown["id"]).out
    for part in (
        first,
        "due, 1 of 12 tries",
        "failed 503 in 12 ms, status: 503, next ",
        "<h1>Busy</h1>",
        "see you\\x07",
    ):
        assert part in text
    assert f"after delivery {shown['id']}, sequence 1" in invoices("deliveries", "show", second).out
    invoices("endpoints", "disable", endpoint_id)
    assert f"invoices endpoints enable {endpoint_id}" in invoices("deliveries", "show", first).out


def test_an_event_of_several_endpoints_is_shown_for_each(invoices, endpoint, tell):
    ids = {endpoint()["id"], endpoint()["id"]}
    first, _ = tell("order-1")
    assert {line["endpoint_id"] for line in invoices("deliveries", "show", first, "--json").lines} == ids
    assert invoices("deliveries", "show", first).out.count("delivery  ") == 2


@pytest.mark.parametrize("name", ["evt_none", "999", "99999999999999999999999", "²"])
def test_what_is_not_there_is_one_line(invoices, name):
    ran = invoices("deliveries", "show", name)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)


# ------------------------------------------------------------ replay


def test_one_event_is_sent_once_more_to_all_that_had_it_or_to_one_that_had_not(invoices, endpoint, tell, settle):
    had = endpoint()["id"]
    first, _ = tell("order-1")
    settle(had)
    late = endpoint("--events", "invoice.paid")["id"]

    assert invoices("deliveries", "replay", first, "--json").lines == [
        {"endpoint_id": had, "events": 1, "waits": False}
    ]
    assert settle(had).event_id == first
    assert invoices("deliveries", "replay", first, "--endpoint", late, "--json").lines[0]["endpoint_id"] == late
    assert settle(late).event_id == first


def test_a_delivery_is_sent_once_more_by_its_number_to_its_own_endpoint(invoices, endpoint, tell, settle):
    had, other = endpoint()["id"], endpoint()["id"]
    first, _ = tell("order-1")
    for one in (had, other):
        settle(one)
    listed = invoices("deliveries", "list", "--endpoint", had, "--json").lines
    (delivery,) = (line for line in listed if line["event_id"] == first)
    number = str(delivery["id"])

    sent = [{"endpoint_id": had, "events": 1, "waits": False}]
    assert invoices("deliveries", "replay", number, "--json").lines == sent
    assert settle(had).event_id == first
    assert invoices("deliveries", "replay", number, "--endpoint", had, "--json").lines == sent
    wrong = invoices("deliveries", "replay", number, "--endpoint", other)
    assert (wrong.code, f"delivery {number} is to {had}" in wrong.err) == (2, True)
    unknown = invoices("deliveries", "replay", "99999")
    assert (unknown.code, "there is no event or delivery '99999'" in unknown.err) == (1, True)


def test_an_endpoint_s_events_are_sent_once_more_by_type_and_time(invoices, endpoint, tell, settle, store):
    endpoint_id = endpoint()["id"]
    old, _ = tell("order-1")
    tell("order-2")
    with store.database.transaction() as connection:
        then = store.database.now(connection) - timedelta(days=30)
        connection.execute(EVENT.update().where(EVENT.c.id == old).values(created_at=then))

    def replayed(*flags):
        return invoices("deliveries", "replay", "--endpoint", endpoint_id, *flags, "--json").lines[0]["events"]

    assert replayed() == 4
    assert replayed("--type", "invoice.pending") == 2
    assert replayed("--type", "invoice.pending", "--type", "invoice.cancelled") == 4
    assert replayed("--since", WEEK_AGO) == 3
    assert replayed("--type", "invoice.pending", "--until", WEEK_AGO) == 1
    assert replayed("--dead-only") == 0
    settle(endpoint_id, "failed", error="status: 500", wait_seconds=None)
    assert replayed("--dead-only", "--since", WEEK_AGO) == 0
    assert replayed("--dead-only") == 1
    assert replayed("--missed-only") == 4
    settle(endpoint_id, "delivered")
    assert replayed("--missed-only") == 3
    assert replayed("--newest-only") == 2


def test_what_goes_to_a_disabled_endpoint_is_said_to_wait(invoices, endpoint, tell):
    endpoint_id = endpoint()["id"]
    first, _ = tell("order-1")
    invoices("endpoints", "disable", endpoint_id)
    ran = invoices("deliveries", "replay", first)
    assert (ran.code, ran.out) == (0, f"1 event is sent to {endpoint_id} once more\n")
    assert f"they wait for `invoices endpoints enable {endpoint_id}`" in ran.err
    assert invoices("deliveries", "replay", first, "--json").lines[0]["waits"] is True


def test_more_than_a_job_s_worth_is_refused_and_nothing_sent(invoices, endpoint, tell, settle, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_EVENTS", 3)
    endpoint_id = endpoint()["id"]
    for number in range(2):
        tell(f"order-{number}")
    ran = invoices("deliveries", "replay", "--endpoint", endpoint_id)
    assert ran.code == 2
    assert "more than 3 events" in ran.err
    assert "narrow them by --since and --until or --type; nothing was sent" in ran.err
    assert invoices("deliveries", "replay", "--endpoint", endpoint_id, "--type", "invoice.pending").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "name an event, or --endpoint"),
        (["evt_none"], 1, "there is no event or delivery 'evt_none'"),
        (["evt_none", "--type", "invoice.paid"], 2, "choose among events"),
        (["evt_none", "--newest-only"], 2, "choose among events"),
        (["--endpoint", "ep_none"], 1, "there is no endpoint 'ep_none'"),
        (["--endpoint", "ep_none", "--type", "invoice.payed"], 2, "--type: there is no invoice.payed"),
        (["--endpoint", "ep_none", "--since", "yesterday"], 2, "neither a time"),
        (["--endpoint", "ep_none", "--since", "1d", "--until", "2d"], 2, "--until must be later than --since"),
    ],
)
def test_a_replay_that_will_not_do_is_refused_in_one_line(invoices, arguments, code, said):
    ran = invoices("deliveries", "replay", *arguments)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert said in ran.err


def test_an_event_that_was_meant_for_nobody_wants_an_endpoint_named(invoices, tell):
    first, _ = tell("order-1")
    ran = invoices("deliveries", "replay", first)
    assert ran.code == 1
    assert "name one with --endpoint" in ran.err


# ------------------------------------------------------------ endpoints


def test_endpoints_are_listed_with_their_health(invoices, endpoint, tell, settle):
    endpoint_id = endpoint("--max-in-flight", "7")["id"]
    tell("order-1")
    tell("order-2")
    settle(endpoint_id)
    settle(endpoint_id, "failed", error="status: 500", wait_seconds=None)

    (listed,) = invoices("endpoints", "list", "--json").lines
    assert (listed["waiting"], listed["dead"], listed["max_in_flight"]) == (2, 1, 7)
    assert listed["last_success_at"] is not None
    assert (listed["breaker"], listed["rotated_until"]) == (None, None)  # no Redis runs here
    table = invoices("endpoints", "list").out
    assert "enabled" in table
    invoices("endpoints", "disable", endpoint_id, "--reason", "moving house")
    assert "disabled: moving house" in invoices("endpoints", "list").out


def test_the_command_line_caps_an_endpoint_as_the_store_does(invoices, endpoint):
    endpoint()

    (listed,) = invoices("endpoints", "list", "--json").lines
    assert listed["max_in_flight"] == MAX_IN_FLIGHT


def test_a_cap_out_of_bounds_is_refused(invoices):
    for cap in ("0", "1001", "many"):
        assert invoices("endpoints", "add", "https://93.184.216.34/", "--max-in-flight", cap).code == 2


def test_a_new_secret_is_shown_once_and_the_old_one_signs_for_a_day(invoices, endpoint, store):
    added = endpoint()
    (rotated,) = invoices("endpoints", "rotate", added["id"], "--json").lines
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != added["secret"]
    (listed,) = invoices("endpoints", "list", "--json").lines
    assert listed["rotated_until"] == rotated["old_secret_until"]
    assert len(store.live_endpoints()[0].secrets.split(",")) == 2

    at_once = invoices("endpoints", "rotate", added["id"], "--keep-hours", "0")
    assert "the old one signs no more" in at_once.err
    assert len(store.live_endpoints()[0].secrets.split(",")) == 1
    assert invoices("endpoints", "rotate", added["id"], "--keep-hours", "169").code == 2
    assert invoices("endpoints", "rotate", "ep_none").code == 1
    for ran in (invoices("endpoints", "list"), invoices("endpoints", "list", "--json")):
        assert "whsec_" not in ran.out


def test_the_encryption_key_is_rotated_without_a_new_secret(invoices, endpoint, store, monkeypatch):
    first, second = new_key(), new_key()
    monkeypatch.setenv("INVOICES_SECRET_KEY", first)
    added = endpoint()

    def sends():
        """The secret opened: the connection was refused, not the key."""
        ran = invoices("endpoints", "test", added["id"])
        return ran.err.startswith("invoices: the test was not taken: connect:")

    assert sends()
    monkeypatch.setenv("INVOICES_SECRET_KEY", second)
    assert not sends()
    refused = invoices("endpoints", "reseal")
    assert refused.code == 1
    assert "opens with no key of INVOICES_SECRET_KEY" in refused.err

    monkeypatch.setenv("INVOICES_SECRET_KEY", f"{second},{first}")
    assert sends()
    assert invoices("endpoints", "reseal", "--json").lines == [{"endpoints": 1}]
    monkeypatch.setenv("INVOICES_SECRET_KEY", second)
    assert sends()
    with store.database.reading() as connection:
        assert added["secret"] not in connection.execute(select(ENDPOINT.c.secrets)).scalar_one()


def test_enabling_says_what_waited(invoices, endpoint, tell):
    endpoint_id = endpoint()["id"]
    invoices("endpoints", "disable", endpoint_id)
    tell("order-1")
    tell("order-2")
    ran = invoices("endpoints", "enable", endpoint_id)
    assert ran.out == f"enabled {endpoint_id}: the events of 2 invoices waited\n"
    assert invoices("endpoints", "enable", endpoint_id).out == f"enabled {endpoint_id}\n"


def test_where_redis_answers_the_breaker_is_told_and_enabling_closes_it(invoices, endpoint, monkeypatch, valkey_urls):
    endpoint_id = endpoint()["id"]
    monkeypatch.setenv("INVOICES_SECRET_KEY", new_key())
    monkeypatch.setenv("INVOICES_BROKER_URL", valkey_urls[1])
    monkeypatch.setenv("INVOICES_REDIS_URL", valkey_urls[0])

    def breaker():
        return invoices("endpoints", "list", "--json").lines[0]["breaker"]

    assert breaker() == "closed"
    with Redis.from_url(valkey_urls[0]) as client:
        now = client.time()[0]
        client.hset(key_of(endpoint_id), "open_until", (now - 1) * 1000)
        assert breaker() == "probing"
        client.hset(key_of(endpoint_id), "open_until", (now + 600) * 1000)
    assert breaker() == "open"
    assert "enabled, breaker open" in invoices("endpoints", "list").out

    invoices("endpoints", "disable", endpoint_id)
    assert invoices("endpoints", "enable", endpoint_id).code == 0
    assert breaker() == "closed"
