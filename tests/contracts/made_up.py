"""A provider that nobody runs, in one file: its adapter, its stand-in in the sandbox, its recorded answers.

It shows what a new provider needs. The suites that every provider passes run over it too.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from aiohttp import web

from domain.account import Account
from domain.drift import FLAG, NUMBER, TEXT, Documented, Shape, Told, Words, amount, group, word
from domain.evidence import (
    CalledBack,
    CreateAnswer,
    Created,
    LookUpAnswer,
    OrderRefused,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.exact_json import JsonError, number, read_strict_json, write_json
from domain.order import Order, OrderError
from domain.ports import CallbackUnreadable, CreateRequest, SignedSample
from domain.status import Status
from domain.visible import one_line
from tests.contracts.provider_cases import CASES, Case
from workers.embedded.sandbox import wire
from workers.embedded.sandbox.callbacks import Style
from workers.embedded.sandbox.coins import COINS, convert, make_address
from workers.embedded.sandbox.demo import Kind
from workers.embedded.sandbox.desk import Call as SandboxCall
from workers.embedded.sandbox.desk import Dialect, Operation
from workers.embedded.sandbox.invoices import CONFIRMING, EXPIRED, OPEN, PAID, PARTIAL, Invoice, plan_step
from workers.embedded.sandbox.markers import read_markers
from workers.embedded.sandbox.quirks import Quirks
from workers.embedded.sandbox.stand_in import StandIn
from workers.providers.answer import Answer, Failure, doubt, read_message
from workers.providers.call import Call
from workers.providers.fields import MAX_REF, MAX_WORD, read_amount, read_currency, read_epoch, read_single, read_text
from workers.providers.found import Unsearchable
from workers.providers.refusal import Refusals, read_create, read_refused_account

NAME = "made_up"
SIGNATURE_HEADER = "made-up-signature"
STATUSES = {
    "open": Status.PENDING,
    "partial": Status.PARTIALLY_PAID,
    "seen": Status.CONFIRMING,
    "settled": Status.PAID,
    "lapsed": Status.EXPIRED,
}
REFUSALS = Refusals(key_statuses=frozenset({401, 403}), is_own=lambda payload: payload.get("ok") is False)


# ------------------------------------------------------------------------------------------------ the adapter


class MadeUp(Unsearchable):
    """Makes an invoice for a price, gives an address and an expiry, calls back, and is asked by its own id."""

    name = NAME
    can_be_asked = True
    tells_refunds = False
    asked_by_reference = False

    def __init__(self, call: Call) -> None:
        self._call = call

    @staticmethod
    def check_account(account: Account) -> None:
        if account.profile is not None:
            raise ValueError("profile: there are none, leave it out")

    def documented(self, account: Account) -> Documented:
        told = dict.fromkeys(("id", "order", "address", "coin"), TEXT) | {"until": NUMBER, "date": NUMBER}
        state = {"id": TEXT, "state": word(Words("status", frozenset(STATUSES)))}
        return {"create": _whole(told | {"due": amount(8)}), "look-up": _whole(state)}

    @staticmethod
    def check_order(order: Order, account: Account) -> None:
        if account.price_decimals:
            raise OrderError("price: its decimals can't be chosen")
        _write_order(order)

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        try:
            body = write_json(_write_order(request)).encode()
        except OrderError as error:
            return OrderRefused(reason=str(error))
        outcome = await self._send("POST", "/invoices", account, body)
        return read_create(outcome, REFUSALS, lambda answer: _read_made(answer, request.order_id))

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        wanted = list(dict.fromkeys(refs))
        found = await asyncio.gather(*(self._ask(ref, account) for ref in wanted))
        return dict(zip(wanted, found, strict=True))

    def verify_callback(self, body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        given = [value for name, value in headers if name.lower() == SIGNATURE_HEADER]
        if len(given) != 1 or not given[0].isascii():
            return False
        matches = [hmac.compare_digest(_sign(key, body), given[0]) for key in account.callback_keys()]
        return any(matches)

    def read_callback(self, body: bytes) -> CalledBack | None:
        try:
            fields = read_strict_json(body)
        except JsonError as error:
            raise CallbackUnreadable(f"body: {error}") from None
        word = fields.get("state") if isinstance(fields, dict) else None
        order_id = read_text(fields.get("order"), 255) if isinstance(fields, dict) else None
        if not isinstance(word, str) or not word.strip() or order_id is None:
            raise CallbackUnreadable("state, order: must be texts")
        reference, shown = read_text(fields.get("id"), MAX_REF), one_line(word, MAX_WORD)
        return CalledBack(status=STATUSES.get(shown), word=shown, order_id=order_id, reference=reference)

    @staticmethod
    def sample_callback(account: Account) -> SignedSample:
        body = b'{"order": "invoices-callbacks-test", "state": "open"}'
        return SignedSample(body, ((SIGNATURE_HEADER, _sign(account.api_key.get_secret_value(), body)),))

    async def _ask(self, ref: str, account: Account) -> LookUpAnswer:
        outcome = await self._send("POST", "/state", account, write_json({"id": ref}).encode())
        if isinstance(outcome, Failure):
            return Unreachable(reason=outcome.reason, asked_at=outcome.asked_at)
        if outcome.status >= 500:
            return Unreachable(reason=outcome.reason(), asked_at=outcome.asked_at, raw=outcome.raw())
        return read_refused_account(outcome, REFUSALS) or _read_state(outcome, ref)

    async def _send(self, method: str, path: str, account: Account, body: bytes) -> Answer | Failure:
        key = account.api_key.get_secret_value()
        return await self._call.send(
            method,
            f"{account.base_url}{path}",
            headers={"content-type": "application/json", "x-key": key},
            body=body,
            timeout_seconds=account.timeout_seconds,
            secrets=[key],
        )


def _whole(data: dict[str, Shape]) -> Shape:
    return group({"ok": FLAG, "message": TEXT, "data": group(data)})


def _write_order(order: Order | CreateRequest) -> dict[str, Any]:
    if order.price is None:
        raise OrderError("price: is required")
    if order.params:
        raise OrderError(f"params.{min(order.params)[:64]}: unknown field")
    return {"order": order.order_id, "price": number(order.price), "currency": order.currency}


def _read_made(answer: Answer, order_id: str) -> CreateAnswer:
    payload = answer.json()
    data = read_single(payload.get("data")) if isinstance(payload, dict) else None
    if data is None or data.get("order") != order_id:
        return doubt(answer, "the answer holds no invoice of this order", read_message(payload))
    ref, amount, address = read_text(data.get("id"), MAX_REF), read_amount(data.get("due")), data.get("address")
    if ref is None or amount is None or read_text(address, 255) is None:
        return doubt(answer, "the answer's invoice is not complete")
    return Created(
        asked_at=answer.asked_at,
        raw=answer.raw(),
        told=Told("create", payload),
        provider_ref=ref,
        address=read_text(address, 255),
        pay_amount=amount,
        pay_currency=read_currency(data.get("coin"), MAX_WORD),
        expires_at=read_epoch(data.get("until")),
        made_at=read_epoch(data.get("date")),
    )


def _read_state(answer: Answer, ref: str) -> LookUpAnswer:
    payload = answer.json() if answer.succeeded else None
    data = read_single(payload.get("data")) if isinstance(payload, dict) else None
    word = data.get("state") if data is not None else None
    if data is None or data.get("id") != ref or not isinstance(word, str) or not word.strip():
        said = answer.reason("the answer does not tell this invoice's state")
        return Unreadable(reason=said, asked_at=answer.asked_at, raw=answer.raw())
    shown = one_line(word, MAX_WORD)
    told = Told("look-up", payload)
    return Seen(asked_at=answer.asked_at, raw=answer.raw(), status=STATUSES.get(shown), word=shown, told=told)


def _sign(key: str, body: bytes) -> str:
    return hmac.digest(key.encode(), body, hashlib.sha512).hex()


# ------------------------------------------------------------------------------------------------ the stand-in


def word_of(invoice: Invoice) -> str:
    words = {OPEN: "open", PARTIAL: "partial", CONFIRMING: "seen", PAID: "settled", EXPIRED: "lapsed"}
    return invoice.word or words[invoice.status]


def write_callback(invoice: Invoice, word: str, quirks: Quirks) -> bytes:
    return wire.write_json({"id": invoice.ref, "order": invoice.order_id, "state": word}).encode()


class MadeUpStandIn(StandIn):
    """`POST /invoices` and `POST /state`."""

    name = NAME
    title = "Made-up"
    callbacks = Style(
        word_of=word_of,
        quiet_words=frozenset({"open"}),
        final_words=frozenset({"settled", "lapsed"}),
        write=write_callback,
        paid_word="settled",
        forge=lambda invoice: write_callback(invoice, "settled", {}),
        seal=lambda body, key: (body, {SIGNATURE_HEADER: _sign(key, body)}),
    )
    demo = (Kind("paid", "paid", "~pay:1~"), Kind("expired", "expired", "~lifetime:3~"))

    def dialect(self) -> Dialect:
        refused = _fail(422, "price must be positive")
        return Dialect(_fail, lambda: _fail(401, "who are you?"), lambda: refused, self._tell)

    def routes(self, prefix: str) -> list[web.RouteDef]:
        create = Operation("create", wire.read_object, self._identify, self._create, self.settle)
        look_up = Operation("look_up", wire.read_object, self._identify, self._look_up)
        return [
            web.post(f"{prefix}/invoices", self.desk.handler(create)),
            web.post(f"{prefix}/state", self.desk.handler(look_up)),
        ]

    def _identify(self, fields: Mapping[str, Any]) -> tuple[str | None, str]:
        invoice = self.invoices.find(str(fields.get("id")), time.time())
        order = fields.get("order") if invoice is None else invoice.order_id
        return (order, order) if isinstance(order, str) else (None, "")

    def _create(self, request: web.Request, fields: Mapping[str, Any], call: SandboxCall) -> wire.Answer:
        if request.headers.get("x-key") != self.api_key:
            return _fail(401, "who are you?")
        order, coin, now = wire.take_text(fields, "order"), COINS["BTC"], time.time()
        markers, number_ = read_markers(order), self.random.getrandbits(48)
        invoice = Invoice(
            provider=self.name,
            ref=f"m-{number_}",
            number=number_,
            order_id=order,
            subject=order,
            request=wire.keep_fields(request, fields),
            detail={"address": make_address(coin, self.random)},
            created_at=now,
            expires_at=int(now) + (markers.lifetime_seconds or self.lifetime.seconds),
            pay_amount=convert(Decimal(str(fields.get("price"))), coin, 8),
            pay_currency=coin.symbol,
        )
        for seconds, step in markers.steps:
            plan_step(invoice, now + seconds, step)
        self.invoices.add(invoice)
        call.ref = invoice.ref
        return self._tell(invoice)

    def _tell(self, invoice: Invoice) -> wire.Answer:
        data = {
            "id": invoice.ref,
            "order": invoice.order_id,
            "address": invoice.detail["address"],
            "due": wire.RawJSON(invoice.pay_amount),
            "coin": invoice.pay_currency,
            "date": int(invoice.created_at),
            "until": invoice.expires_at,
        }
        return wire.Answer(201, {"ok": True, "data": data})

    def _look_up(self, request: web.Request, fields: Mapping[str, Any], call: SandboxCall) -> wire.Answer:
        if request.headers.get("x-key") != self.api_key:
            return _fail(401, "who are you?")
        invoice = self.invoices.find(wire.take_text(fields, "id"), time.time())
        if invoice is None:
            return _fail(404, "no such invoice")
        call.ref = invoice.ref
        return wire.Answer(200, {"ok": True, "data": {"id": invoice.ref, "state": word_of(invoice)}})


def _fail(status: int, message: str) -> wire.Answer:
    return wire.Answer(status, {"ok": False, "message": message})


# ------------------------------------------------------------------------------------------------ recorded answers

MADE_UP = Case(
    provider=NAME,
    adapter=MadeUp,
    order={"order_id": "o-1", "price": Decimal(10), "currency": "EUR"},
    success=201,
    made='{"ok": true, "message": "made", "data": {"id": "m-7", "order": "o-1", "address": "bc1q7", '
    '"due": 0.00150000, "coin": "BTC", "date": 1764099948, "until": 1764105348}}',
    ref="m-7",
    refused=(422, '{"ok": false, "message": "price must be positive"}'),
)

#: Every provider of the registry, and this one.
EVERY = CASES | {NAME: MADE_UP}
