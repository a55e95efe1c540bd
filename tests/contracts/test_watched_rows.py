"""What the web process shows of the database's rows: each number moved by what it counts, on both databases."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import ConnectionError as RedisAway

from domain.decision import Stage
from domain.demand import WINDOW_SECONDS, Demand
from domain.evidence import CredentialsRefused, InDoubt, Marked, ProviderRefused, RateLimited, Unreachable
from domain.scaling import Pool
from domain.status import Status
from domain.why.patience import Pace
from domain.work_report import WEBHOOKS, Report, Worked
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    HandClock,
    change,
    disable_endpoint,
    judge,
    make_due,
    now,
    open_store,
    pend,
    queue,
    seen,
    subscribe,
)
from workers.store.agenda import MAX_CLAIMS
from workers.store.callbacks import NewCallback
from workers.store.database import Database
from workers.store.intake import Rejection
from workers.store.processes import Heartbeat
from workers.store.tables import AGENDA, DELIVERY, EVENT, INVOICE, PROCESS
from workers.telemetry.families import FAMILIES, By
from workers.telemetry.metrics import Metrics
from workers.telemetry.rows import FRESH_SECONDS, RowReader

#: A worker's: ten creates a second, two seconds each.
BUSY = Report(60.0, 1.0, 600, 60, 0.6, {(Stage.CREATE, ACCOUNT): Worked(10.0, 2.0)})


class Watch:
    """A reader with a clock that is moved by hand."""

    def __init__(self, database, breakers=lambda _: {}, asked=()):
        self.metrics, self.time = Metrics("1"), 0.0
        accounts = [ACCOUNT, SILENT_ACCOUNT]
        self.asked = set(asked)
        pace = lambda: Pace(asked=self.asked)  # noqa: E731 - as short as the other one
        self.reader = RowReader(database, self.metrics.rows, accounts, pace, breakers, demand(), lambda: self.time)

    def look(self):
        self.time += FRESH_SECONDS
        self.reader.refresh()
        return self

    def __call__(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"invoices_{name}", labels)


def demand():
    """Of the accounts there are, with few slots."""
    return Demand({ACCOUNT: Pool(5), SILENT_ACCOUNT: Pool(5), WEBHOOKS: Pool(100)}, {})


def called_back(order_id):
    given = {"account": ACCOUNT, "digest": order_id, "body": b"{}", "headers": "{}", "order_id": order_id}
    return NewCallback(**given, reference=None, word=None, amount=None)


@pytest.fixture
def watch(database):
    return Watch(database)


@pytest.fixture
def store(database):
    return open_store(database)


def test_nothing_is_wrong_where_nothing_is(watch):
    watch.look()
    assert watch("store_readable") == 1
    for name in ("in_doubt", "contradictions_open", "unmatched_callbacks", "rejected_messages", "parked"):
        assert watch(name) == 0
    assert watch("account_refused", account=ACCOUNT) == 0
    assert watch("agenda_overdue_seconds", stage="create") == 0
    assert watch("stream_behind_seconds") == 0


def test_every_metric_that_comes_of_rows_has_a_value(store, database, watch):
    subscribe(database)
    pend(store)
    watch.reader._read_breakers = lambda endpoints: dict.fromkeys(endpoints, "closed")
    watch.look()
    shown = {metric.name for metric in watch.metrics.rows.collect() if metric.samples}
    assert shown == {one.name for one in FAMILIES if one.by is By.ROWS}


def test_invoices_in_doubt_are_counted_and_the_oldest_one_is_aged(store, database, watch):
    ids = [queue(store), queue(store)]
    for invoice_id in ids:
        judge(store, invoice_id, InDoubt(reason="no answer"))
    change(database, INVOICE, INVOICE.c.id == ids[0], updated_at=now(database) - timedelta(minutes=5))
    watch.look()
    assert watch("in_doubt") == 2
    assert 299 < watch("in_doubt_oldest_seconds") < 400


def test_a_contradiction_counts_until_somebody_decides(store, watch):
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("failed"))
    judge(store, invoice_id, seen("paid"))
    judge(store, invoice_id, seen("refunded"))
    assert watch.look()("contradictions_open") == 1
    judge(store, invoice_id, Marked(reason="looked into", status=Status.FAILED, by="alice"))
    assert watch.look()("contradictions_open") == 0


def test_an_unmatched_callback_and_a_rejected_message_are_counted(store, watch):
    store.keep_callbacks([called_back("nobody-s")])
    claims = store.claim(Stage.CALLBACK, ACCOUNT, 10, 10)
    store.judge_callbacks(claims, lambda *_: None)
    store.reject([Rejection("k", "invoices.create", "price: is required", "{}", complete=True)])
    watch.look()
    assert watch("unmatched_callbacks") == 1
    assert watch("rejected_messages") == 1


def test_what_killed_its_holders_is_parked(store, database, watch):
    invoice_id = queue(store)
    change(database, AGENDA, AGENDA.c.subject == invoice_id, due_at=None, claims=MAX_CLAIMS)
    assert watch.look()("parked") == 1


def test_an_account_whose_key_is_refused_is_named(store, watch):
    judge(store, queue(store), CredentialsRefused(reason="HTTP 401"))
    watch.look()
    assert watch("account_refused", account=ACCOUNT) == 1
    assert watch("account_refused", account=SILENT_ACCOUNT) == 0


@pytest.mark.parametrize("kind", [CredentialsRefused, ProviderRefused])
def test_an_account_that_is_turned_away_at_look_ups_is_named_until_it_is_answered(store, watch, kind):
    (invoice_id,) = pend(store)
    judge(store, invoice_id, Unreachable(reason="connection refused"))
    assert watch.look()("account_refused", account=ACCOUNT) == 0
    judge(store, invoice_id, kind(reason="HTTP 403"))
    assert watch.look()("account_refused", account=ACCOUNT) == 1
    assert watch("account_refused", account=SILENT_ACCOUNT) == 0
    judge(store, invoice_id, seen("pending"))
    assert watch.look()("account_refused", account=ACCOUNT) == 0


def test_an_agenda_that_nobody_works_on_is_overdue(store, database, watch):
    invoice_id = queue(store)
    change(database, AGENDA, AGENDA.c.subject == invoice_id, due_at=now(database) - timedelta(seconds=40))
    watch.look()
    assert 39 < watch("agenda_overdue_seconds", stage="create") < 100
    assert watch("agenda_overdue_seconds", stage="clock") == 0
    assert watch("agenda_overdue_seconds", stage="deliver") == 0


def test_a_backlog_that_is_worked_on_is_not_late(store, database, watch):
    for seconds in (60, 40):
        subject = queue(store)
        change(database, AGENDA, AGENDA.c.subject == subject, due_at=now(database) - timedelta(seconds=seconds))
    assert watch.look()("agenda_overdue_seconds", stage="create") > 59
    (claim,) = store.claim(Stage.CREATE, ACCOUNT, 1, 60)
    assert watch.look()("agenda_overdue_seconds", stage="create") == 0  # another is next now
    assert watch.look()("agenda_overdue_seconds", stage="create") > 39  # and is still next
    assert claim.subject != subject


def test_webhooks_for_a_disabled_endpoint_or_an_open_breaker_wait_rightly(store, database):
    endpoint = subscribe(database)
    pend(store)
    change(database, AGENDA, AGENDA.c.stage == "deliver", due_at=now(database) - timedelta(seconds=40))
    change(database, DELIVERY, created_at=now(database) - timedelta(seconds=50))
    watch = Watch(database, lambda endpoints: dict.fromkeys(endpoints, "closed")).look()
    assert watch("agenda_overdue_seconds", stage="deliver") > 39
    assert watch("endpoint_backlog_seconds", endpoint=endpoint) > 49
    assert watch("endpoint_breaker_open", endpoint=endpoint) == 0
    held = Watch(database, lambda endpoints: dict.fromkeys(endpoints, "open")).look()
    assert held("agenda_overdue_seconds", stage="deliver") == 0
    assert held("endpoint_breaker_open", endpoint=endpoint) == 1
    disable_endpoint(database, endpoint)
    watch.look()
    assert watch("agenda_overdue_seconds", stage="deliver") == 0
    assert watch("endpoint_disabled", endpoint=endpoint) == 1
    assert watch("endpoint_backlog_seconds", endpoint=endpoint) > 49


def test_without_redis_the_rest_is_shown(database):
    endpoint = subscribe(database)

    def away(_):
        raise RedisAway("nobody there")

    watch = Watch(database, away).look()
    assert watch("store_readable") == 1
    assert watch("endpoint_breaker_open", endpoint=endpoint) is None


def test_the_stream_is_behind_by_its_oldest_untold_event(store, database, watch):
    pend(store)
    change(database, EVENT, created_at=now(database) - timedelta(seconds=30))
    assert 29 < watch.look()("stream_behind_seconds") < 100
    change(database, EVENT, published_at=now(database))
    assert watch.look()("stream_behind_seconds") == 0


def test_look_ups_that_wait_for_a_budget_wait_rightly(store, database):
    (invoice_id,) = pend(store)
    make_due(database, invoice_id, Stage.CHECK)
    change(database, AGENDA, AGENDA.c.stage == "check", due_at=now(database) - timedelta(seconds=40))
    assert Watch(database).look()("agenda_overdue_seconds", stage="check") > 39
    assert Watch(database, asked=[(Stage.CHECK, ACCOUNT)]).look()("agenda_overdue_seconds", stage="check") == 0


def test_orders_that_wait_for_a_time_their_provider_named_wait_rightly(store, database, watch):
    asked, late = queue(store), queue(store)
    make_due(database, late, Stage.CREATE)
    change(database, AGENDA, AGENDA.c.subject == late, due_at=now(database) - timedelta(minutes=5))
    assert watch.look()("agenda_overdue_seconds", stage="create") > 0
    judge(store, asked, RateLimited(reason="429", retry_after_seconds=600))
    assert watch.look().look()("agenda_overdue_seconds", stage="create") == 0
    change(database, AGENDA, AGENDA.c.subject == asked, due_at=now(database) - timedelta(hours=1))
    assert watch.look().look()("agenda_overdue_seconds", stage="create") > 3500


def test_look_ups_of_an_account_that_rests_wait_rightly(store, database, watch):
    (invoice_id,) = pend(store)
    make_due(database, invoice_id, Stage.CHECK)
    change(database, AGENDA, AGENDA.c.stage == "check", due_at=now(database) - timedelta(seconds=40))
    assert watch.look()("agenda_overdue_seconds", stage="check") > 39
    heartbeat = Heartbeat(database, ["worker"], [ACCOUNT])
    heartbeat.report, heartbeat.rests = (lambda: BUSY), (lambda: {ACCOUNT: 600.0})
    heartbeat.write()
    assert watch.look().look()("agenda_overdue_seconds", stage="check") == 0


def test_orders_that_wait_for_an_account_s_rate_wait_rightly_while_workers_ask_for_it(store, database, watch):
    change(database, AGENDA, AGENDA.c.subject == queue(store), due_at=now(database) - timedelta(minutes=5))
    watch.asked = {(Stage.CREATE, ACCOUNT)}
    assert watch.look()("agenda_overdue_seconds", stage="create") == 0
    watch.asked = set()
    assert watch.look()("agenda_overdue_seconds", stage="create") > 299


def test_a_host_that_is_ahead_of_the_database_s_clock_is_told_by_how_much(sqlite_template, tmp_path, watch):
    assert abs(watch.look()("clock_skew_seconds")) < 5
    shutil.copyfile(sqlite_template, tmp_path / "behind.db")
    behind = HandClock(datetime.now(UTC) - timedelta(seconds=90))
    database = Database(f"sqlite:///{tmp_path}/behind.db", clock=behind)
    try:
        assert 89 < Watch(database).look()("clock_skew_seconds") < 200
    finally:
        database.close()


def test_rows_are_read_once_in_five_seconds(store, watch):
    watch.look()
    judge(store, queue(store), InDoubt(reason="no answer"))
    watch.reader.refresh()
    assert watch("in_doubt") == 0
    assert watch.look()("in_doubt") == 1


def test_while_the_database_is_away_that_alone_is_shown_and_nothing_old(store, database, watch):
    judge(store, queue(store), InDoubt(reason="no answer"))
    assert watch.look()("in_doubt") == 1
    there, watch.reader._database = database, Database("sqlite+pysqlite:////nowhere/at/all.db")
    watch.look()
    assert watch("store_readable") == 0
    assert watch("in_doubt") is None
    watch.reader._database = there
    assert watch.look()("store_readable") == 1
    assert watch("in_doubt") == 1


def test_what_workers_report_and_rows_say_makes_the_figure_of_workers_wanted(store, database, watch):
    heartbeat = Heartbeat(database, ["worker", "intake"], [ACCOUNT])
    heartbeat.report = lambda: BUSY
    heartbeat.write()
    watch.look()
    watch.time += WINDOW_SECONDS
    assert watch.look()("workers_wanted") == 2  # no more than one more than runs, though ten a second take six
    assert watch("bound_by", reason="provider_slots") == 1
    assert watch("bound_by", reason="none") == 0


def test_a_worker_that_was_not_seen_for_long_does_not_run(store, database, watch):
    heartbeat = Heartbeat(database, ["worker"], [ACCOUNT])
    heartbeat.report = lambda: BUSY
    heartbeat.write()
    change(database, PROCESS, PROCESS.c.role == "worker", seen_at=now(database) - timedelta(minutes=1))
    watch.look()
    watch.time += WINDOW_SECONDS
    assert watch.look()("workers_wanted") == 1
    assert watch("bound_by", reason="workers") == 1
