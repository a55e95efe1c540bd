"""0xhost's stand-in: create by its API page (or with a sister site's body), look-up and list by later documents."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiohttp import web

from workers.embedded.sandbox.coins import COINS, Coin, convert, make_address
from workers.embedded.sandbox.demo import Kind
from workers.embedded.sandbox.desk import Call, Dialect, Operation
from workers.embedded.sandbox.invoices import (
    CONFIRMING,
    EXPIRED,
    OPEN,
    PAID,
    PARTIAL,
    Invoice,
    plan_step,
)
from workers.embedded.sandbox.markers import read_markers
from workers.embedded.sandbox.stand_in import Given, StandIn
from workers.embedded.sandbox.wire import Answer, InputError, RawJSON, keep_fields, read_object, take_text

#: A new row is "Paying" already. Whether the last word is capitalised varies from row to row, as documented.
WORDS = {OPEN: "Paying", CONFIRMING: "Paying", PARTIAL: "Paying", PAID: "Paid", EXPIRED: "Expired"}

#: Rows' created_at is naive local time of an undocumented zone: this offset trips a client that takes it for UTC.
LOCAL_OFFSET = timedelta(hours=3, minutes=30)

#: Decimals of pay_amount in the documented answer.
PAY_PLACES = 10

CURRENCIES = ("EUR", "USD")
MAX_PAGE = 1_000

_PAID = "~lifetime:12~pay:{}~"


def _paid(seconds: str) -> Kind:
    return Kind("paid", "paid", _PAID.format(seconds))


def _faulty(fault: str, calls: int = 2) -> Kind:
    return Kind(f"{fault.partition('=')[0]}, then paid", "paid", f"~fault:{fault}{_PAID.format(2)}", calls)


DEMO = (
    _paid("1"),
    _paid("2"),
    Kind("expired", "expired", "~lifetime:4~"),
    Kind("refused", "failed", prefix="refuse"),
    Kind("confirmed, then paid", "paid", "~lifetime:15~confirm:1~pay:4~"),
    _faulty("status=503"),
    _paid("3"),
    _faulty("accept_then_timeout=20"),
    _paid("1.5"),
    _faulty("truncated"),
    Kind("underpaid", "expired", "~lifetime:6~underpay:1~"),
    _faulty("html"),
    _paid("2.5"),
    _faulty("reset"),
    _paid("4"),
    Kind("expired", "expired", "~lifetime:7~"),
    _faulty("duplicate"),
    _faulty("delay=1", 1),
    _paid("1"),
    _faulty("garbage"),
    _paid("3.5"),
    _faulty("rate_limited=1"),
)


def fail(status: int, message: str) -> Answer:
    return Answer(status, {"success": False, "message": message, "data": []})


def refuse(message: str) -> Answer:
    """A refusal, which at 0xhost has status 200."""
    return fail(200, message)


async def read_query(request: web.Request) -> Mapping[str, object]:
    return request.query


class ZeroxHost(StandIn):
    """`POST /API/invoice`, `GET /API/get_transation_by_track_id`, `GET /API/list_transactions` under a prefix."""

    name = "zeroxhost"
    title = "0xhost"
    operations = ("create", "look_up", "list")
    demo = DEMO

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self.next_number = 100_000_000 + self.random.randrange(800_000_000)

    def dialect(self) -> Dialect:
        """Orders are refused with status 200."""
        return Dialect(fail, self._refuse_key, lambda: refuse("Order refused"), self._tell_created)

    @staticmethod
    def write_demo_order(name: str, kind: Kind, number: int) -> dict[str, object]:
        """The provider sets the price; its markers go into the user's id."""
        return {"order_id": name, "params": {"user_id": name + kind.markers, "server_id": f"demo-{number}"}}

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Create, look-up and list, and the text that a wallet would read from the QR code."""
        create = Operation("create", read_object, self._identify, self._create)
        look_up = Operation("look_up", read_query, self._identify_tracked, self._look_up)
        listing = Operation("list", read_query, lambda _fields: (None, ""), self._list)
        return [
            web.post(f"{prefix}/API/invoice", self.desk.handler(create)),
            web.get(f"{prefix}/API/get_transation_by_track_id", self.desk.handler(look_up)),
            web.get(f"{prefix}/API/list_transactions", self.desk.handler(listing)),
            web.get(f"{prefix}/qr/{{track_id}}", self._show_code),
        ]

    def _identify(self, fields: Mapping[str, object]) -> tuple[str | None, str]:
        """The caller's own order id where it is sent (profile `order`), else the user's; all three ids to look in."""
        user, order, server = (fields.get(name) for name in ("user_id", "order_id", "server_id"))
        ids = [value for value in (user, order, server) if isinstance(value, str)]
        name = order if isinstance(order, str) else user
        return (name if isinstance(name, str) else None), " ".join(ids)

    def _identify_tracked(self, fields: Mapping[str, object]) -> tuple[str | None, str]:
        invoice = self.invoices.find(str(fields.get("track_id", "")), time.time())
        return (None, "") if invoice is None else (invoice.order_id, invoice.subject)

    def _create(self, request: web.Request, fields: Mapping[str, object], call: Call) -> Answer:
        if request.headers.get("x-api-key") != self.api_key:
            return self._refuse_key()
        other = "order_id" if "order_id" in fields else "server_id"
        problem = _find_bad_text(fields, "user_id", other)
        if problem is not None:
            return refuse(problem)
        if str(fields["user_id"]).startswith("refuse"):
            return refuse("User not found")
        currency, coin = "EUR", None
        if other == "order_id":
            currency, coin = str(fields.get("currency")), COINS.get(str(fields.get("pay_currency")))
            if currency not in CURRENCIES or coin is None:
                return refuse(f"The {'currency' if coin else 'pay_currency'} is not supported.")
            if "network" in fields and (problem := _find_bad_text(fields, "network")) is not None:
                return refuse(problem)
        invoice = self._keep(request, fields, currency, coin)
        call.ref = invoice.ref
        return self._tell_created(invoice)

    def _keep(self, request: web.Request, fields: Mapping[str, object], currency: str, coin: Coin | None) -> Invoice:
        order_id, subject = self._identify(fields)
        markers = read_markers(subject)
        coin = coin or list(COINS.values())[len(self.invoices) % len(COINS)]
        amount = f"{Decimal(self.random.randrange(500, 20_000)) / 100:.2f}"
        now, track_id = time.time(), self._take_number()
        invoice = Invoice(
            provider=self.name,
            ref=str(track_id),
            number=track_id,
            order_id=order_id or "",
            subject=subject,
            request=keep_fields(request, fields),
            detail={
                "amount": amount,
                "currency": currency,
                "network": fields.get("network") or coin.network,
                "address": make_address(coin, self.random),
                "qr_code": f"http://{request.host}/{self.name}/qr/{track_id}",
                "order_id": fields.get("order_id") or self.new_id(),
            },
            created_at=now,
            expires_at=int(now) + (markers.lifetime_seconds or self.lifetime.seconds),
            pay_amount=convert(Decimal(amount), coin, PAY_PLACES),
            pay_currency=coin.symbol,
        )
        for seconds, step in markers.steps:
            plan_step(invoice, now + seconds, step)
        self.invoices.add(invoice)
        return invoice

    def _take_number(self) -> int:
        """Rising numbers, with gaps: they do not show how many invoices there are."""
        number = self.next_number
        self.next_number += self.random.randrange(1, 9)
        return number

    def _tell_created(self, invoice: Invoice) -> Answer:
        detail, date = invoice.detail, int(invoice.created_at)
        data = {
            "track_id": invoice.ref,
            "amount": RawJSON(detail["amount"]),
            "currency": detail["currency"],
            "pay_amount": RawJSON(invoice.pay_amount),
            "pay_currency": invoice.pay_currency,
            "network": detail["network"],
            "address": detail["address"],
            "qr_code": detail["qr_code"],
            "lifetime": RawJSON(format_minutes(invoice.expires_at - date)),
            "expired_at": invoice.expires_at,
            "order_id": detail["order_id"],
            "date": date,
        }
        transaction = {"id": self.new_id(), "success": True}
        message = "Operation completed successfully!"
        return Answer(200, {"success": True, "transaction": transaction, "message": message, "data": data})

    def _look_up(self, request: web.Request, fields: Mapping[str, object], call: Call) -> Answer:
        if request.headers.get("x-api-key") != self.api_key:
            return self._refuse_key()
        invoice = self.invoices.find(str(fields.get("track_id", "")), time.time())
        if invoice is None:
            return Answer(404, {"error": "Transaction not found", "data": {}})
        call.ref = invoice.ref
        return Answer(200, {"success": True, "data": self._row(invoice)})

    def _list(self, request: web.Request, fields: Mapping[str, object], call: Call) -> Answer:
        if request.headers.get("x-api-key") != self.api_key:
            return self._refuse_key()
        per_page, page = _read_count(fields, "per_page", 10), _read_count(fields, "page", 1)
        per_page = min(per_page, MAX_PAGE)
        rows = self.invoices.newest((page - 1) * per_page, per_page, time.time())
        return Answer(200, {"success": True, "data": [self._row(invoice) for invoice in rows]})

    def _row(self, invoice: Invoice) -> dict[str, object]:
        """A row of look-up and list. Amounts are texts here, and the currency is in lower case."""
        detail = invoice.detail
        return {
            "id": invoice.number,
            "track_id": invoice.ref,
            "status": word_of(invoice),
            "type": "invoice",
            "amount": detail["amount"],
            "currency": detail["currency"].lower(),
            "pay_amount": invoice.pay_amount,
            "pay_currency": invoice.pay_currency,
            "order_id": detail["order_id"],
            "date": int(invoice.created_at),
            "tx_hash": invoice.tx_hash,
            "network": detail["network"],
            "address": detail["address"],
            "description": None,
            "created_at": format_naive(invoice.created_at),
            "updated_at": format_naive(invoice.updated_at),
            "expired_at": invoice.expires_at,
            "qr_code": detail["qr_code"],
        }

    async def _show_code(self, request: web.Request) -> web.Response:
        """What a wallet would read from `qr_code`, as a text."""
        invoice = self.invoices.find(request.match_info["track_id"], time.time())
        if invoice is None:
            raise web.HTTPNotFound(text="no such invoice\n")
        text = f"{invoice.detail['address']}?amount={invoice.pay_amount}&token={invoice.pay_currency}\n"
        return web.Response(text=text)

    def _refuse_key(self) -> Answer:
        return fail(401, "Invalid API key")


def word_of(invoice: Invoice) -> str:
    """A row's status word. A partial payment is Underpaid only once it lapses: until then the rest may come."""
    if invoice.word is not None:
        return invoice.word
    if invoice.status == EXPIRED:
        if Decimal(invoice.paid_amount) > 0:
            return "Underpaid"
        return "expired" if invoice.number % 2 else "Expired"
    return WORDS[invoice.status]


def format_minutes(seconds: int) -> str:
    """`lifetime` in whole minutes, as documented; a decimal where it is not a whole minute, as in demos."""
    if seconds % 60 == 0:
        return str(seconds // 60)
    return f"{Decimal(seconds) / 60:.4f}"


def format_naive(epoch_seconds: float) -> str:
    return (datetime.fromtimestamp(math.floor(epoch_seconds), UTC) + LOCAL_OFFSET).strftime("%Y-%m-%d %H:%M:%S")


def _find_bad_text(fields: Mapping[str, object], *names: str) -> str | None:
    """What is wrong with the first bad one of these fields, as 0xhost would say it."""
    for name in names:
        try:
            take_text(fields, name)
        except InputError:
            return f"The {name} field is required."
    return None


def _read_count(fields: Mapping[str, object], name: str, default: int) -> int:
    text = str(fields.get(name, default))
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise InputError(f"{name}: must be a whole number from 1")
    return int(text)
