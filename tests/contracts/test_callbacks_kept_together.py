"""Callbacks that are kept in one insert: each once, exactly as it came, and on the agenda."""

from __future__ import annotations

from decimal import Decimal

from domain.decision import Stage
from tests.contracts.store_cases import ACCOUNT, policy, rows
from workers.store.callbacks import NewCallback
from workers.store.store import Store
from workers.store.tables import CALLBACK


def called(digest, order_id="1", amount=None, body=b"{}", reference=None):
    return NewCallback(
        account=ACCOUNT,
        digest=digest,
        body=body,
        headers="{}",
        order_id=order_id,
        reference=reference,
        word="COMPLETED",
        amount=amount,
    )


def test_of_the_same_bytes_in_one_insert_the_first_is_kept(database):
    store = Store(database, {ACCOUNT: policy()}, lambda _: None)
    assert store.keep_callbacks([called("a"), called("a"), called("b")]) == [True, False, True]
    assert store.keep_callbacks([called("b"), called("c"), called("a")]) == [False, True, False]

    kept = rows(database, CALLBACK)
    assert sorted(row.digest for row in kept) == ["a", "b", "c"]
    on_agenda = {claim.subject for claim in store.claim(Stage.CALLBACK, ACCOUNT, 10, 60)}
    assert on_agenda == {str(row.id) for row in kept}


def test_what_is_told_of_each_is_kept_as_it_came(database):
    store = Store(database, {ACCOUNT: policy()}, lambda _: None)
    odd = called("a", order_id=None, amount=Decimal("3.0440897036220003"), body=b"\x00\xff{}", reference="x\x00y")
    plain = called("b", order_id="ordér-\u200b1")
    assert store.keep_callbacks([odd, plain]) == [True, True]

    first, second = sorted(rows(database, CALLBACK), key=lambda row: row.digest)
    assert (first.order_id, first.amount, bytes(first.body)) == (None, Decimal("3.0440897036220003"), b"\x00\xff{}")
    assert "\x00" not in first.reference
    assert (second.order_id, second.amount, second.state) == ("ordér-\u200b1", None, "new")
    assert first.at.tzinfo is not None
