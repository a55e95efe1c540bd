"""Nebulox's stand-in: create by its API reference, verify and later fields by its later documents."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from aiohttp import web

from workers.embedded.sandbox.callbacks import Style
from workers.embedded.sandbox.coins import COINS, convert
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
from workers.embedded.sandbox.providers.nebulox.callbacks import forge_body, seal, write_body
from workers.embedded.sandbox.providers.nebulox.demo import DEMO
from workers.embedded.sandbox.quirks import read_quirks
from workers.embedded.sandbox.stand_in import Given, StandIn
from workers.embedded.sandbox.wire import (
    Answer,
    Digits,
    InputError,
    RawJSON,
    is_number,
    keep_fields,
    read_object,
    take_text,
)

#: A confirming payment has no word of its own at Nebulox.
WORDS = {OPEN: "PENDING", CONFIRMING: "PENDING", PARTIAL: "PARTIAL", PAID: "COMPLETED", EXPIRED: "EXPIRED"}

CURRENCIES = ("eur", "usd")
COIN_SYMBOLS = ("BTC", "LTC", "ETH", "USDT", "TRX", "DOGE")
NETWORKS = ("Bitcoin", "Litecoin", "Tron", "Dogecoin")


def fail(status: int, message: str) -> Answer:
    return Answer(status, {"message": message, "result": [], "meta": {}})


def word_of(invoice: Invoice) -> str:
    """Nebulox's status word."""
    return invoice.word or WORDS[invoice.status]


class Nebulox(StandIn):
    """`POST /api/invoice/create` and `POST /api/invoice/verify` under a prefix."""

    name = "nebulox"
    title = "Nebulox"
    operations = ("create", "verify")
    callbacks = Style(
        word_of=word_of,
        quiet_words=frozenset({"PENDING"}),
        final_words=frozenset({"COMPLETED", "EXPIRED"}),
        write=write_body,
        paid_word="COMPLETED",
        forge=forge_body,
        seal=seal,
    )
    demo = DEMO

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self._gateway_id, self._user_id = self.new_id(), self.new_id()
        self.next_number = 100_000 + self.random.randrange(800_000)

    def dialect(self) -> Dialect:
        """Refusals have a success's form, with an empty list as their result."""
        return Dialect(fail, self._refuse_key, lambda: fail(400, "Order refused"), self._tell_created)

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Create, verify, and the page that a customer would see."""
        create = Operation("create", read_object, self._identify, self._create, settle=self.settle)
        verify = Operation("verify", read_object, self._identify_tracked, self._verify, marked="look_up")
        return [
            web.post(f"{prefix}/api/invoice/create", self.desk.handler(create)),
            web.post(f"{prefix}/api/invoice/verify", self.desk.handler(verify)),
            web.get(f"{prefix}/invoice/{{id}}", self._show_page),
        ]

    def _identify(self, fields: Mapping[str, object]) -> tuple[str | None, str]:
        order_id = fields.get("orderId")
        return (order_id, order_id) if isinstance(order_id, str) else (None, "")

    def _identify_tracked(self, fields: Mapping[str, object]) -> tuple[str | None, str]:
        invoice = self._find_tracked(str(fields.get("trackingCode")), time.time())
        return (None, "") if invoice is None else (invoice.order_id, invoice.subject)

    def _create(self, request: web.Request, fields: Mapping[str, object], call: Call) -> Answer:
        if fields.get("apiKey") != self.api_key:
            return self._refuse_key()
        order_id = take_text(fields, "orderId")
        price, amount = _read_money(fields)
        currency = _read_listed(fields, "baseCurrency", CURRENCIES)
        coin = _read_listed(fields, "coinSymbol", COIN_SYMBOLS)
        network = _read_listed(fields, "networkName", NETWORKS)
        if amount is not None and coin is None:
            raise InputError("coinSymbol: is required with amount")
        coin_of_account = COINS[coin or "BTC"]
        chosen = {"baseCurrency": currency, "coinSymbol": coin, "networkName": network}
        invoice = self._keep(
            order_id,
            pay_amount=amount or convert(Decimal(price or "0"), coin_of_account, 8),
            pay_currency=coin_of_account.symbol,
            request=keep_fields(request, fields, "apiKey"),
            detail={"price": price, "origin": f"http://{request.host}/{self.name}", **chosen},
        )
        call.ref = invoice.ref
        return self._tell_created(invoice)

    def _keep(
        self,
        order_id: str,
        *,
        pay_amount: str,
        pay_currency: str,
        request: dict[str, object],
        detail: dict[str, str | None],
    ) -> Invoice:
        markers = read_markers(order_id)
        read_quirks(markers, 1)
        now = time.time()
        invoice = Invoice(
            provider=self.name,
            ref=self.new_id(),
            number=self.next_number,
            order_id=order_id,
            subject=order_id,
            created_at=now,
            expires_at=int(now) + (markers.lifetime_seconds or self.lifetime.seconds),
            pay_amount=pay_amount,
            pay_currency=pay_currency,
            request=request,
            detail=detail,
        )
        self.next_number += 1
        for seconds, step in markers.steps:
            plan_step(invoice, now + seconds, step)
        self.invoices.add(invoice)
        return invoice

    def _tell_created(self, invoice: Invoice) -> Answer:
        created = format_instant(invoice.created_at)
        price = invoice.detail["price"]
        result = {
            "price": None if price is None else RawJSON(price),
            "orderId": invoice.order_id,
            "status": "PENDING",
            "gatewayId": self._gateway_id,
            "userId": self._user_id,
            "addressId": None,
            "amount": None,
            "coinId": None,
            "networkId": None,
            "info": None,
            "id": invoice.ref,
            "created_at": created,
            "updated_at": created,
            "url": f"{invoice.detail['origin']}/invoice/{invoice.ref}",
        }
        return Answer(201, {"message": "Operation was successful.", "result": result, "meta": {}})

    def _verify(self, request: web.Request, fields: Mapping[str, object], call: Call) -> Answer:
        if fields.get("apiKey") != self.api_key:
            return self._refuse_key()
        code = fields.get("trackingCode")
        if isinstance(code, bool) or not isinstance(code, int | str):
            raise InputError("trackingCode: is required, a number")
        invoice = self._find_tracked(str(code), time.time())
        if invoice is None:
            return fail(404, "Invoice not found")
        call.ref = invoice.ref
        price = invoice.detail["price"]
        result = {
            "amount": invoice.pay_amount,
            "paidAmount": invoice.paid_amount,
            "baseCurrency": invoice.detail["baseCurrency"],
            "id": invoice.ref,
            "trackingCode": invoice.number,
            "orderId": invoice.order_id,
            "price": None if price is None else RawJSON(price),
            "description": None,
            "status": word_of(invoice),
            "expirationDate": format_instant(invoice.expires_at),
            "created_at": format_instant(invoice.created_at),
            "updated_at": format_instant(invoice.updated_at),
        }
        return Answer(200, {"message": "Operation was successful.", "result": result, "meta": {}})

    async def _show_page(self, request: web.Request) -> web.Response:
        """What the customer would see at `url`."""
        invoice = self.invoices.find(request.match_info["id"], time.time())
        if invoice is None:
            raise web.HTTPNotFound(text="no such invoice\n")
        text = f"Order {invoice.order_id}: {word_of(invoice)}"
        page = f"<!DOCTYPE html><title>Sandbox</title><p>{html.escape(text)}</p>\n"
        return web.Response(text=page, content_type="text/html")

    def _find_tracked(self, code: str, now: float) -> Invoice | None:
        return self.invoices.find(code, now) if code.isdecimal() else None

    def _refuse_key(self) -> Answer:
        return fail(406, "This gateway is not active")


def format_instant(epoch_seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, as Nebulox writes it."""
    instant = datetime.fromtimestamp(epoch_seconds, UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def _read_money(fields: Mapping[str, object]) -> tuple[str | None, str | None]:
    """(price, amount) as texts; exactly one is given. The price may be a JSON number or text."""
    price, amount = (fields.get(name) for name in ("price", "amount"))
    if price is not None and amount is not None:
        raise InputError("amount: send price or amount, not both")
    if amount is not None:
        if isinstance(amount, Digits) or not isinstance(amount, str):
            raise InputError("amount: must be a text")
        return None, _read_positive("amount", amount)
    if price is None:
        raise InputError("price: is required")
    if isinstance(price, bool) or not isinstance(price, int | str):
        raise InputError("price: must be a number")
    return _read_positive("price", str(price)), None


def _read_positive(name: str, text: str) -> str:
    if not is_number(text):
        raise InputError(f"{name}: must be a number")
    value = Decimal(text)
    if value <= 0 or value.adjusted() > 20 or value.adjusted() < -20:
        raise InputError(f"{name}: must be greater than 0 and less than 1e20")
    return text


def _read_listed(fields: Mapping[str, object], name: str, listed: tuple[str, ...]) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or value not in listed):
        raise InputError(f"{name}: must be one of {', '.join(listed)}")
    return value
