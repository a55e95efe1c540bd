"""Callbacks in the store, on both databases: which are removed once they are old, and what the doctor says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.decision import Stage
from domain.evidence import CalledBack, Marked
from domain.status import Status
from tests.contracts.doctor_cases import by_cause, settings
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import (
    OPERATOR,
    SILENT_ACCOUNT,
    change,
    claim_one,
    created,
    judge,
    now,
    pend,
    queue,
    rows,
    seen,
)
from workers.cli.doctor.callbacks import check_callbacks
from workers.store.callbacks import NewCallback, unmatched
from workers.store.forged import Forged, keep_forged
from workers.store.operate.callbacks import dismiss
from workers.store.queries import earliest_id
from workers.store.reads.callbacks import paid_elsewhere
from workers.store.tables import AGENDA, CALLBACK, INVOICE

OLD, DAYS = timedelta(days=90), timedelta(days=3)


def call(store, order_id, *, judged=True):
    """A callback about this order; what it says is judged unless the workers are away."""
    said = {"order_id": order_id, "reference": None, "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account=SILENT_ACCOUNT, digest=order_id, body=b"{}", headers="{}", **said)])
    if judged:
        claims = store.claim(Stage.CALLBACK, SILENT_ACCOUNT, 10, 60)
        store.judge_callbacks(claims, lambda *_: CalledBack(status=Status.PAID, word="COMPLETED"))


def states(database):
    return {row.digest: row.state for row in rows(database, CALLBACK)}


def test_old_callbacks_go_once_they_are_finished_and_not_before(database, store):
    queue(store, SILENT_ACCOUNT)
    (invoice,) = rows(database, INVOICE)
    call(store, invoice.order_id)
    call(store, "nobody-knows")
    call(store, "dismissed")
    for row in store.database.read(unmatched, 0):
        if row.digest == "dismissed":
            assert dismiss(store, OPERATOR, row.id)
    call(store, "not-judged", judged=False)
    before = {
        invoice.order_id: "matched",
        "nobody-knows": "unmatched",
        "dismissed": "dismissed",
        "not-judged": "new",
    }
    assert states(database) == before
    assert store.remove_finished(OLD) == 0  # not old

    with database.transaction() as connection:
        connection.execute(CALLBACK.update().values(at=database.now(connection) - timedelta(days=91)))
    assert store.remove_finished(OLD) == 2
    assert states(database) == {"nobody-knows": "unmatched", "not-judged": "new"}


def test_the_doctor_notes_what_no_invoice_is_known_for(database, store, tmp_path):
    config = settings(tmp_path)
    assert "unmatched_callbacks" not in by_cause(check_callbacks(database, config))
    call(store, "one")
    call(store, "two")

    found = by_cause(check_callbacks(database, config))["unmatched_callbacks"]
    assert (found.state, found.count, found.check) == ("note", 2, f"account {SILENT_ACCOUNT}")
    assert found.command == "invoices unmatched list"


def test_the_doctor_says_where_callbacks_go_until_the_first_came(database, store, tmp_path):
    config = settings(tmp_path, public_url="https://pay.example")
    (finding,) = check_callbacks(database, config)
    assert (finding.state, "https://pay.example/callbacks/nebulox" in finding.detail) == ("ok", True)

    pend(store, account=SILENT_ACCOUNT)
    found = by_cause(check_callbacks(database, config))["no_callback"]
    assert (found.state, "can't be asked" in found.detail) == ("note", True)
    (unset,) = check_callbacks(database, settings(tmp_path))
    assert "INVOICES_PUBLIC_URL is not set" in unset.detail


def test_the_doctor_says_when_the_last_callback_came_and_that_none_did_for_days(database, store, tmp_path):
    config = settings(tmp_path)
    call(store, "one", judged=False)
    pend(store, account=SILENT_ACCOUNT)
    (finding,) = check_callbacks(database, config)
    assert (finding.state, "its last callback came" in finding.detail) == ("ok", True)

    with database.transaction() as connection:
        now = database.now(connection)
        connection.execute(CALLBACK.update().values(at=now - timedelta(days=9)))
        connection.execute(INVOICE.update().values(id=earliest_id(now - DAYS), created_at=now - DAYS))
    found = by_cause(check_callbacks(database, config))["no_callback"]
    assert (found.state, "came 9 d ago" in found.detail, "the first 3 d ago" in found.detail) == ("note", True, True)


def test_the_doctor_asks_for_the_address_where_invoices_of_other_accounts_are_paid_and_no_callback_comes(
    database, store, tmp_path
):
    config = settings(tmp_path, public_url="https://pay.example")

    def said():
        (finding,) = check_callbacks(database, config)
        return finding.detail

    pend(store, account=SILENT_ACCOUNT)
    one, other, _ = pend(store, 3)
    (own,) = pend(store, account=SILENT_ACCOUNT)
    judge(store, own, Marked(status=Status.PAID, reason="the bank says so", by="bob"))
    assert "though" not in said(), "made elsewhere, and paid here by hand, tell nothing"
    judge(store, one, seen("paid"))
    asks = "though 1 invoice of another account was paid meanwhile: that address may not be set at the provider"
    assert said().endswith(asks)
    judge(store, other, seen("paid"))
    with database.transaction() as connection:
        then = database.now(connection) - DAYS
        hers = INVOICE.update().where(INVOICE.c.account == SILENT_ACCOUNT)
        connection.execute(hers.values(created_at=then))
    call(store, "one", judged=False)
    with database.transaction() as connection:
        connection.execute(CALLBACK.update().values(at=then - DAYS))
    assert "its last callback came 6 d ago" in said()
    assert "; none in 3 d though 2 invoices of other accounts were paid meanwhile" in said()
    change(database, INVOICE, INVOICE.c.account != SILENT_ACCOUNT, created_at=then - DAYS)
    assert "though" not in said(), "what was paid before tells nothing of now"


def test_what_was_paid_elsewhere_is_counted_by_the_index_of_statuses(database, store):
    pend(store, account=SILENT_ACCOUNT)
    pend(store, 30)
    fill = "INSERT INTO invoice ({}) SELECT {} FROM invoice, generate_series(1, 200) n WHERE account != :account"
    other = {name: f"{name} || n" for name in ("id", "order_id", "idempotency_key", "provider_ref")}
    names = [column.name for column in INVOICE.c]
    lists = [", ".join(one) for one in (names, [other.get(name, name) for name in names])]
    with database.transaction() as connection:
        if database.is_postgresql:
            connection.execute(text(fill.format(*lists)), {"account": SILENT_ACCOUNT})
            connection.execute(text("ANALYZE invoice"))
    since = now(database) - DAYS
    plan = explained(database, lambda: database.read(paid_elsewhere, SILENT_ACCOUNT, since), r"SELECT count")
    assert "ix_invoice_status" in plan, plan


def test_the_doctor_says_when_a_wrong_signature_came_after_the_last_right_one(database, store, tmp_path):
    config = settings(tmp_path)
    forged = Forged(SILENT_ACCOUNT, "its signature is wrong", None, 2, b"{}", "{}")
    keep_forged(database, [forged])
    found = by_cause(check_callbacks(database, config))["forged_callbacks"]
    assert (found.state, found.command) == ("note", "invoices callbacks forged")
    assert "previous_api_key" in found.detail

    call(store, "one", judged=False)
    assert "forged_callbacks" not in by_cause(check_callbacks(database, config))


def many(database, count=3000):
    """Callbacks of before: half are matched, half about no known invoice."""
    with database.transaction() as connection:
        said = {"account": SILENT_ACCOUNT, "at": database.now(connection), "body": b"{}", "headers": "{}"}
        each = [{"digest": f"d{n}", "order_id": f"o{n}", "reference": f"r{n}"} for n in range(count)]
        states = ({"state": "matched", "invoice_id": "inv_1"}, {"state": "unmatched", "invoice_id": None})
        connection.execute(CALLBACK.insert(), [said | one | states[n % 2] for n, one in enumerate(each)])
        if database.is_postgresql:
            connection.execute(text("ANALYZE callback"))


def test_what_belongs_to_a_callback_or_to_a_new_invoice_is_found_by_index_however_many_are_kept(database, store):
    many(database)
    said: dict[str, Any] = {"order_id": "o1", "reference": "r1", "word": "COMPLETED", "amount": None}
    store.keep_callbacks([NewCallback(account=SILENT_ACCOUNT, digest="new", body=b"{}", headers="{}", **said)])
    claims = store.claim(Stage.CALLBACK, SILENT_ACCOUNT, 10, 60)
    paid = CalledBack(status=Status.PAID, word="COMPLETED")

    plan = explained(database, lambda: store.judge_callbacks(claims, lambda *_: paid), r"SELECT callback\.state")
    assert "ix_callback_reference" in plan
    plan = explained(database, lambda: pend(store, account=SILENT_ACCOUNT), r"SELECT callback\.id, callback\.account")
    assert "ix_callback_order" in plan


def test_a_callback_of_the_account_that_made_the_order_in_the_end_is_judged_again_then(database, store):
    """An order may go on to another account than the one it came for."""
    invoice_id = queue(store)
    call(store, rows(database, INVOICE)[0].order_id)
    assert set(states(database).values()) == {"unmatched"}
    change(database, INVOICE, INVOICE.c.id == invoice_id, provider_account=SILENT_ACCOUNT)
    change(database, AGENDA, AGENDA.c.subject == invoice_id, AGENDA.c.stage == "create", lane=SILENT_ACCOUNT)

    judge(store, invoice_id, created(), claim_one(store, Stage.CREATE, SILENT_ACCOUNT))
    assert set(states(database).values()) == {"new"}
    assert store.claim(Stage.CALLBACK, SILENT_ACCOUNT, 10, 60)
