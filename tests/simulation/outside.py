"""Who the hosts talk to: two providers' servers and a shop's receiver. They remember all that reached them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx

from tests.simulation.database import moment
from tests.simulation.wire import Reply

LIFETIME_SECONDS = 30.0
TX_HASH = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"


@dataclass(slots=True)
class Fate:
    """What a customer will do about an invoice: seconds after it was made. A fate belongs to an order."""

    confirming_after: float | None = None
    paid_after: float | None = None
    underpaid: bool = False


@dataclass(slots=True)
class Made:
    """An invoice as its provider has it."""

    ref: str
    order_id: str
    at: float
    fate: Fate

    @property
    def expires_at(self) -> float:
        return self.at + LIFETIME_SECONDS

    def is_paid(self, now: float) -> bool:
        """Whether the customer has paid this very invoice."""
        return self.fate.paid_after is not None and now >= self.at + self.fate.paid_after

    def word(self, now: float) -> tuple[str, str | None]:
        """Status and the transaction's hash, now."""
        age = now - self.at
        if self.is_paid(now):
            return "Paid", TX_HASH
        if self.fate.confirming_after is not None and age >= self.fate.confirming_after:
            return "Paying", TX_HASH
        if age >= LIFETIME_SECONDS:
            return ("Underpaid" if self.fate.underpaid else "Expired"), None
        return "Waiting", None


@dataclass(slots=True)
class Arrived:
    """A create that reached a provider. ``unread``: answered with "not processed"."""

    at: float
    host: str
    unread: bool


@dataclass(slots=True)
class Providers:
    """0xhost and Nebulox, one server for both."""

    world: Any
    fates: dict[str, Fate] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    creates: dict[str, list[Arrived]] = field(default_factory=lambda: defaultdict(list))
    refused: set[str] = field(default_factory=set)  #: orders that they do not want

    def serve(self, request: httpx.Request, fault: str | None) -> Reply:
        """One request."""
        if request.method == "GET":
            return self._looked_up(request, fault)
        fields = json.loads(request.content)
        if "trackingCode" in fields:
            return self._verified(fields["trackingCode"], fault)
        order_id = fields.get("order_id") or fields["orderId"]
        unread = fault in {"limited", "forbidden"}
        self.creates[order_id].append(Arrived(self.world.loop.now, request.headers.get("x-host", ""), unread))
        self.world.note("create", order_id, fault)
        if unread:
            return _unread(fault)
        if order_id in self.refused:
            return 400, {}, b'{"success": false, "message": "unknown coin", "result": []}'  # in both providers' words
        made = Made(f"ref{len(self.made) + 1}", order_id, self.world.loop.now, self.fates.get(order_id, Fate()))
        self.made[made.ref] = made
        self.world.caller.invoice_made(made)
        if fault in {"broken", "garbled"}:
            return _spoilt(fault)
        return _json(201, self._nebulox(made) if "orderId" in fields else self._zeroxhost(made))

    def _looked_up(self, request: httpx.Request, fault: str | None) -> Reply:
        query = parse_qs(request.url.query.decode())
        if "track_id" not in query:
            return self._listed(int(query["page"][0]), fault)
        ref = query["track_id"][0]
        made = self.made[ref]
        word, tx_hash = made.word(self.world.loop.now)
        self.world.note("look_up", made.order_id, word, fault)
        if fault in {"limited", "forbidden"}:
            return _unread(fault)
        if fault in {"broken", "garbled"}:
            return _spoilt(fault)
        return _json(200, {"success": True, "data": {"track_id": ref, "status": word, "tx_hash": tx_hash}})

    def _listed(self, page: int, fault: str | None) -> Reply:
        """0xhost's list, newest first: all of it is on the first page."""
        if fault in {"limited", "forbidden"}:
            return _unread(fault)
        if fault in {"broken", "garbled"}:
            return _spoilt(fault)
        theirs = [made for made in self.made.values() if self.world.plan.orders[made.order_id] != "nebulox"]
        self.world.note("list", page)
        rows = [self._row(made) for made in reversed(theirs)] if page == 1 else []
        return _json(200, {"success": True, "data": rows})

    def _row(self, made: Made) -> dict[str, Any]:
        word, tx_hash = made.word(self.world.loop.now)
        told: dict[str, Any] = self._zeroxhost(made)["data"]
        return told | {"order_id": made.order_id, "status": word, "tx_hash": tx_hash}

    def _verified(self, code: str, fault: str | None) -> Reply:
        """Nebulox's look-up, by what a callback brought."""
        if fault in {"limited", "forbidden"}:
            return _unread(fault)
        if fault in {"broken", "garbled"}:
            return _spoilt(fault)
        made = self.made.get(code) or Made(code, "somebody else's", 0.0, Fate(paid_after=0.0))
        story = self.world.plan.stories.get(made.order_id)
        if story is not None and story.look_ups == "broken":
            return 404, {}, b"<html>no such page</html>"
        lag = story.lag if story is not None and story.look_ups == "lagging" else 0.0
        word = "COMPLETED" if made.is_paid(self.world.loop.now - lag) else "PENDING"
        self.world.note("verify", made.order_id, code, word)
        result = {"id": made.ref, "orderId": made.order_id, "price": "12.50", "baseCurrency": "eur", "status": word}
        return _json(200, {"result": result})

    def _zeroxhost(self, made: Made) -> dict[str, Any]:
        data = {
            "track_id": made.ref,
            "address": "TXYZ",
            "pay_amount": "12.5",
            "pay_currency": "USDT",
            "lifetime": 0.5,
            "date": int(moment(made.at).timestamp()),
            "expired_at": int(moment(made.expires_at).timestamp()),
        }
        return {"success": True, "data": data}

    def _nebulox(self, made: Made) -> dict[str, Any]:
        return {"result": {"id": made.ref, "orderId": made.order_id, "url": f"https://pay.example/{made.ref}"}}


def _json(status: int, document: Any) -> Reply:
    return status, {"content-type": "application/json"}, json.dumps(document).encode()


def _unread(fault: str | None) -> Reply:
    if fault == "limited":
        return 429, {"retry-after": "1"}, b'{"message": "slow down"}'
    return 401, {}, b'{"message": "who are you"}'


def _spoilt(fault: str) -> Reply:
    return (500, {}, b"oops") if fault == "broken" else (200, {}, b"<html>")


@dataclass(slots=True)
class Receiver:
    """A shop that takes webhooks, or fails to."""

    world: Any
    taken: list[tuple[str, str, int]] = field(default_factory=list)  #: (event id, subject, sequence), each time

    def serve(self, request: httpx.Request, fault: str | None) -> Reply:
        """One webhook; what is answered with 2xx was taken."""
        event = json.loads(request.content)
        subject, sequence = event.get("subject", event["id"]), int(event.get("sequence", 0))
        self.world.note("webhook", subject, sequence, fault)
        if fault in {"limited", "forbidden", "broken"}:
            return 503, {}, b""
        self.taken.append((request.headers["webhook-id"], subject, sequence))
        return 204, {}, b""
