"""Each cause's situation, made the way it comes about: messages, claims, answers, tries, processes that are seen. Only
time is moved by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domain.account import Account
from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    CancelRequested,
    CredentialsRefused,
    InDoubt,
    ProviderRefused,
    RateLimited,
    Unreachable,
    Unreadable,
)
from domain.status import Status
from domain.why import Cause, Why, first_cause
from domain.work_report import Report
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    change,
    claim_one,
    disable_endpoint,
    judge,
    now,
    order,
    pend,
    queue,
    seen,
    subscribe,
    take,
)
from workers.intake.desk import Desk, IntakeMessage
from workers.intake.orders import take_order
from workers.store.agenda import MAX_CLAIMS
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.processes import Heartbeat
from workers.store.reads.search import search
from workers.store.reads.why.order import Around, read_facts, read_facts_of_name
from workers.store.reads.why.webhooks import Breakers
from workers.store.store import Store
from workers.store.tables import AGENDA, EVENT, PROCESS

ACCOUNTS = {
    name: Account(
        name=name,
        provider=name,
        base_url="http://127.0.0.1:1",
        api_key="k-secret-key",
        max_in_flight=2,
        on_doubt="hold" if name == SILENT_ACCOUNT else "retry",
    )
    for name in (ACCOUNT, SILENT_ACCOUNT)
}
MINUTE = timedelta(minutes=1)
SENDING_TRIES = 12


@dataclass
class Ground:
    """A database where intake, worker, beat and web run, as they have just written themselves down."""

    database: Database
    store: Store

    def beat(self, *roles: str, accounts: Any = ACCOUNTS) -> None:
        """Processes of these roles are seen."""
        heartbeat = Heartbeat(self.database, roles, accounts)
        heartbeat.swept()
        heartbeat.moved()
        heartbeat.write()

    def rest(self, account: str, seconds: float = 600.0) -> None:
        """A worker runs that does not call this account for so long: its provider has said 429."""
        heartbeat = Heartbeat(self.database, ["worker"], ACCOUNTS)
        heartbeat.report = lambda: Report(60.0, 1.0, 0, 0, 0.0)
        heartbeat.rests = lambda: {account: seconds}
        heartbeat.write()

    def lose(self, role: str, ago: timedelta = MINUTE) -> None:
        """Processes of a role were last seen a while ago."""
        change(self.database, PROCESS, PROCESS.c.role == role, seen_at=now(self.database) - ago)

    def why(self, name: str, breakers: Breakers = lambda _: {}, account: str | None = None) -> Why:
        """The cause that a name gives."""
        around = Around(ACCOUNTS, "https://pay.example/callbacks/{}".format, breakers)
        found = self.database.read(search, name, account)
        if found is None:
            return first_cause(self.database.read(read_facts_of_name, self.database, name, account))
        facts = self.database.read(read_facts, self.database, found.newest.id, around)
        assert facts is not None, "it was found"
        return first_cause(facts)

    def tell_stream(self) -> None:
        """As the publisher does with all there is."""
        change(self.database, EVENT, EVENT.c.published_at.is_(None), published_at=now(self.database))

    def overdue(self, invoice_id: str, ago: timedelta = MINUTE) -> None:
        """What is planned for it has been due for so long."""
        change(self.database, AGENDA, AGENDA.c.subject.contains(invoice_id), due_at=now(self.database) - ago)

    def fail(self, endpoint_id: str, tries: int = 1) -> None:
        """The next webhook of an endpoint is tried in vain so often."""
        for number in range(1, tries + 1):
            change(self.database, AGENDA, AGENDA.c.lane == endpoint_id, due_at=now(self.database) - MINUTE)
            (delivery,) = self.store.claim_deliveries(endpoint_id, 1, 60)
            wait = None if number == SENDING_TRIES else 300.0
            self.store.settle([DeliveryAttempt(delivery, "failed", "status: 503", 503, 7, b"", wait)])


Case = Callable[[Ground], str]


def rejected_message(ground: Ground) -> str:
    text = json.dumps({"account": ACCOUNT, "order_id": "order-1", "price": "-1", "currency": "EUR"})
    desk = Desk(ground.store, ACCOUNTS, {})
    take_order(desk, IntakeMessage("invoices.create", text, "key-1"))
    return "order-1"


def unknown_order(ground: Ground) -> str:
    queue(ground.store)
    return "order-that-never-came"


def contradiction(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    judge(ground.store, invoice, CancelRequested(reason="the customer left"))
    judge(ground.store, invoice, seen("paid"))
    ground.tell_stream()
    return invoice


def parked(ground: Ground) -> str:
    invoice = queue(ground.store)
    for _ in range(MAX_CLAIMS + 1):
        ground.store.claim(Stage.CREATE, ACCOUNT, 1, lease_seconds=0)
    return invoice


def key_refused(ground: Ground) -> str:
    invoice = queue(ground.store)
    judge(ground.store, invoice, CredentialsRefused(reason="HTTP 401: unknown API key"))
    return invoice


def key_refused_at_look_ups(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    judge(ground.store, invoice, CredentialsRefused(reason="HTTP 401: unknown API key"))
    return invoice


def provider_refuses(ground: Ground) -> str:
    invoice = queue(ground.store)
    judge(ground.store, invoice, ProviderRefused(reason="HTTP 404: a web page"))
    return invoice


def no_worker(ground: Ground) -> str:
    invoice = queue(ground.store)
    ground.lose("worker")
    return invoice


def no_worker_for_its_account(ground: Ground) -> str:
    ground.beat("worker", accounts=[SILENT_ACCOUNT])
    return queue(ground.store)


def workers_that_leave_the_clock_alone(ground: Ground) -> str:
    (invoice,) = pend(ground.store, account=SILENT_ACCOUNT)
    ground.tell_stream()
    ground.overdue(invoice)
    return invoice


def provider_unreachable(ground: Ground) -> str:
    invoice = queue(ground.store)
    judge(ground.store, invoice, Unreachable(reason="connection refused"))
    return invoice


def unreadable_look_ups(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    for _ in range(3):
        judge(ground.store, invoice, Unreadable(reason="HTTP 502: a web page"))
    return invoice


def in_doubt(ground: Ground) -> str:
    invoice = queue(ground.store)
    judge(ground.store, invoice, InDoubt(reason="no answer within 10 s"))
    return invoice


def held_in_doubt(ground: Ground) -> str:
    invoice = queue(ground.store, SILENT_ACCOUNT)
    judge(ground.store, invoice, InDoubt(reason="no answer within 10 s"))
    return invoice


def webhook_waits(ground: Ground) -> str:
    endpoint = subscribe(ground.database)
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    ground.fail(endpoint, 2)
    judge(ground.store, invoice, seen("confirming"))
    ground.tell_stream()
    return invoice


def webhook_to_a_disabled_endpoint(ground: Ground) -> str:
    endpoint = subscribe(ground.database)
    (invoice,) = pend(ground.store)
    disable_endpoint(ground.database, endpoint, "the shop moves")
    ground.tell_stream()
    return invoice


def webhook_given_up(ground: Ground) -> str:
    endpoint = subscribe(ground.database)
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    ground.fail(endpoint, SENDING_TRIES)
    return invoice


def stream_behind(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    change(ground.database, EVENT, created_at=now(ground.database) - MINUTE)
    return invoice


def in_call(ground: Ground) -> str:
    invoice = queue(ground.store)
    claim_one(ground.store, Stage.CREATE)
    return invoice


def waits_for_account(ground: Ground) -> str:
    first = take(ground.store, order("first"), order("second"))
    assert len(ground.store.claim(Stage.CREATE, ACCOUNT, 2, 60)) == len(first)
    return queue(ground.store)


def put_off_by_the_provider(ground: Ground) -> str:
    invoice = queue(ground.store)
    judge(ground.store, invoice, RateLimited(reason="HTTP 429", retry_after_seconds=600))
    return invoice


def cannot_be_asked(ground: Ground) -> str:
    (invoice,) = pend(ground.store, account=SILENT_ACCOUNT)
    ground.tell_stream()
    return invoice


def confirming(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    judge(ground.store, invoice, seen("confirming"))
    ground.tell_stream()
    return invoice


def called_back_and_not_confirmed(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    judge(ground.store, invoice, CalledBack(status=Status.PAID, word="COMPLETED"))
    ground.tell_stream()
    return invoice


def waits_for_payer(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    return invoice


def final(ground: Ground) -> str:
    (invoice,) = pend(ground.store)
    judge(ground.store, invoice, seen("paid"))
    ground.tell_stream()
    return invoice


def final_and_watched(ground: Ground) -> str:
    (invoice,) = pend(ground.store, account=SILENT_ACCOUNT)
    judge(ground.store, invoice, seen("expired"))
    ground.tell_stream()
    return invoice


#: One of each cause, in the order of their precedence.
SITUATIONS: dict[Cause, Case] = {
    Cause.REJECTED_MESSAGE: rejected_message,
    Cause.UNKNOWN_ORDER: unknown_order,
    Cause.CONTRADICTION: contradiction,
    Cause.PARKED: parked,
    Cause.KEY_REFUSED: key_refused,
    Cause.PROVIDER_REFUSES: provider_refuses,
    Cause.NO_WORKER: no_worker,
    Cause.PROVIDER_UNREACHABLE: provider_unreachable,
    Cause.IN_DOUBT: in_doubt,
    Cause.WEBHOOK_WAITS: webhook_waits,
    Cause.STREAM_BEHIND: stream_behind,
    Cause.IN_CALL: in_call,
    Cause.WAITS_FOR_ACCOUNT: waits_for_account,
    Cause.CANNOT_BE_ASKED: cannot_be_asked,
    Cause.CONFIRMING: confirming,
    Cause.WAITS_FOR_PAYER: waits_for_payer,
    Cause.FINAL: final,
}
#: Other ways into a cause.
OTHER_WAYS: dict[Case, Cause] = {
    key_refused_at_look_ups: Cause.KEY_REFUSED,
    no_worker_for_its_account: Cause.NO_WORKER,
    workers_that_leave_the_clock_alone: Cause.NO_WORKER,
    unreadable_look_ups: Cause.PROVIDER_UNREACHABLE,
    held_in_doubt: Cause.IN_DOUBT,
    webhook_to_a_disabled_endpoint: Cause.WEBHOOK_WAITS,
    webhook_given_up: Cause.WEBHOOK_WAITS,
    put_off_by_the_provider: Cause.WAITS_FOR_ACCOUNT,
    called_back_and_not_confirmed: Cause.CONFIRMING,
    final_and_watched: Cause.FINAL,
}
