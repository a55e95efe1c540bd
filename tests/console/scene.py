"""A shop's afternoon, for the console's tests and for whoever looks at its pages: invoices in every status, and what
has to be settled by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.account import Account
from domain.evidence import CancelRequested, InDoubt, OrderRefused
from domain.status import Anomaly, Status
from tests.console.receivers import add_receivers, deliver, first_event
from tests.console.staff import staff
from tests.console.story import ORDER, spread, tell_story
from tests.console.unsettled import call_back, contradict, turn_away
from tests.contracts.store_cases import created, judge, open_store, order, seen, take
from workers.store.acts import Actor
from workers.store.bulk_jobs import CANCEL, RECHECK, Deal
from workers.store.database import Database
from workers.store.operate.bulk import begin, work_on
from workers.store.operate.invoices import Mark, mark
from workers.store.reads.selection import Selection
from workers.store.store import Store

ACCOUNTS: Mapping[str, Account] = {
    name: Account(name=name, provider=name, base_url=f"http://127.0.0.1:9/{name}", api_key="a-secret-key")
    for name in ("nebulox", "zeroxhost")
}
OPERATOR = Actor("r.adeyemi", "cli ops@host", "Ticket 8841")
#: What a shop, sender or provider may write into each field that they can write.
MARKUP = '<img src=x onerror="alert(1)">&amp;"\'`</script>'
#: As long as an order's id may be; such ones differ at their ends.
LONG_ORDER = "shop-eu/2026-11/".ljust(122, "0") + "-48217"


class Scene:
    """A store with invoices; ``ids`` by the name of their order, ``receivers`` by what ``tests.console.receivers``
    calls them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store: Store = open_store(database)
        self.ids: dict[str, str] = {}
        self.receivers = add_receivers(self.store, OPERATOR)
        self.person, self.token = staff(self.store, OPERATOR, MARKUP)  #: their ids
        self._fill()
        turn_away(self.store, MARKUP)
        self.callback = call_back(self.store, MARKUP)  #: the number of one that no invoice is known for
        contradict(self.store, self.ids["dpkg-48225"])
        self.ids[ORDER] = tell_story(self.store, OPERATOR)
        deliver(self.store, self.receivers)
        done = begin(self.store, OPERATOR, Deal(RECHECK), Selection(statuses=("failed",)), "status=failed")
        assert work_on(self.store)
        self.finished_job = done.id  #: what it was to do was not possible
        queued = Selection(statuses=("queued",))
        self.job = begin(self.store, OPERATOR, Deal(CANCEL), queued, "status=queued").id  #: nobody works on it
        spread(self.store, self.ids[ORDER])
        self.event = first_event(self.store, self.ids["dpkg-48231"])  #: its number

    def copied(self, database: Database) -> Scene:
        """The same over a copy of its database."""
        scene = copy.copy(self)
        scene.ids, scene.receivers = dict(self.ids), copy.copy(self.receivers)
        scene.database, scene.store = database, open_store(database)
        return scene

    def _take(self, order_id: str, account: str = "zeroxhost", **fields: object) -> str:
        (self.ids[order_id],) = take(self.store, order(order_id, account=account, **fields))
        return self.ids[order_id]

    def _pend(self, order_id: str, account: str = "zeroxhost", **fields: object) -> str:
        invoice_id = self._take(order_id, account)
        answer = {
            "pay_amount": Decimal("0.0358619204"),
            "pay_currency": "ETH",
            "network": "Ethereum",
            "address": "0x7717bE41c93Ad05f62f3D1b8E0C4a5917d2A8179",
            "payment_url": f"https://pay.example/{order_id}",
        }
        judge(self.store, invoice_id, created(**(answer | fields)))
        return invoice_id

    def _fill(self) -> None:
        self._take("dpkg-48230", "nebulox")
        judge(self.store, self._take("dpkg-48229", "nebulox"), InDoubt(reason="no answer in 10 s"))
        judge(self.store, self._take("dpkg-48215"), OrderRefused(reason="user_id: no such user"))
        judge(self.store, self._pend("dpkg-48208"), CancelRequested(reason="the customer gave up"))
        self._pend("dpkg-48231")
        self._pend("dpkg-48233", "nebulox")
        partly = seen("partially_paid", paid_amount=Decimal("0.02"))
        judge(self.store, self._pend("dpkg-48221"), partly)
        judge(self.store, self._pend("dpkg-48226"), seen("confirming", paid_amount=Decimal("0.0358619204")))
        judge(self.store, self._pend("dpkg-48225"), seen("paid", paid_amount=Decimal("0.0358619204")))
        over = seen("paid", paid_amount=Decimal("0.04"), anomaly=Anomaly.OVERPAID)
        judge(self.store, self._pend("dpkg-48219"), over)
        judge(self.store, self._pend("dpkg-48190"), seen("expired"))
        judge(self.store, self._pend("dpkg-48180"), seen("paid", paid_amount=Decimal("0.0358619204")))
        judge(self.store, self.ids["dpkg-48180"], seen("refunded"))
        mark(
            self.store,
            OPERATOR,
            self._pend("dpkg-48177"),
            Mark(Status.PAID, Decimal("0.0358619204")),
        )
        digits: dict[str, Any] = {"pay_amount": Decimal("0.012345678901234567"), "pay_currency": "DAI"}
        judge(
            self.store,
            self._pend(LONG_ORDER, **digits),
            seen("partially_paid", paid_amount=Decimal("0.010000000000000001")),
        )
        for account in ACCOUNTS:  # one order id, at two accounts
            self.ids[f"twice/{account}"] = self._pend("twice", account)
            del self.ids["twice"]
        metadata = json.dumps({"note": MARKUP, "cart": 7})
        self._take(MARKUP, price="10.50", metadata=json.loads(metadata))
