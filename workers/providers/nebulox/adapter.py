"""Nebulox: a hosted payment page. The key is sent in the body; the expiry is our own policy.

A create is ``POST {base_url}/api/invoice/create`` (its API reference). A look-up needs a tracking code that only a
callback brings: see ``callbacks`` and ``verify``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence

from simplejson import RawJSON

from domain.account import Account
from domain.drift import Documented, Told
from domain.echo import echoes
from domain.evidence import CalledBack, CreateAnswer, Created, LookUpAnswer, OrderRefused
from domain.exact_json import number, write_json
from domain.order import Order, OrderError
from domain.ports import CreateRequest, SignedSample
from workers.providers.answer import Answer, doubt, read_message
from workers.providers.call import Call
from workers.providers.fields import MAX_REF, read_currency, read_single, read_text, read_url
from workers.providers.found import Unsearchable
from workers.providers.nebulox.callbacks import is_signed, read_callback, sample_callback
from workers.providers.nebulox.documented import documented
from workers.providers.nebulox.refusals import REFUSALS
from workers.providers.nebulox.verify import verify
from workers.providers.refusal import read_create

CREATE_PATH = "/api/invoice/create"

#: As named by the API reference and the later documents. These disagree, so an account may have lists of its own.
CURRENCIES = ("EUR", "USD")
PAY_CURRENCIES = ("BTC", "LTC", "ETH", "USDT", "TRX", "DOGE")
NETWORKS = ("Bitcoin", "Litecoin", "Tron", "Dogecoin")


class Nebulox(Unsearchable):
    """The adapter: builds requests, reads answers, keeps nothing."""

    name = "nebulox"
    can_be_asked = True
    asked_by_reference = True
    tells_refunds = False

    def __init__(self, call: Call) -> None:
        self._call = call

    @staticmethod
    def check_account(account: Account) -> None:
        """Raise ValueError for a setting that Nebulox has no use for."""
        if account.profile is not None:
            raise ValueError("profile: nebulox has no profiles, leave it out")
        if not account.api_key.get_secret_value().isprintable():
            raise ValueError("api_key: must not contain control characters")

    @staticmethod
    def check_order(order: Order, account: Account) -> None:
        """Raise OrderError, naming the field, for what the documents don't allow."""
        _write_fields(order, account)

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        """Make an invoice. 201 is the documented success; any 2xx with a usable invoice counts as made."""
        key = account.api_key.get_secret_value()
        try:
            fields = _write_fields(request, account)
        except OrderError as error:  # the account's lists were changed since the order came in
            return OrderRefused(reason=str(error))
        outcome = await self._call.send(
            "POST",
            f"{account.base_url}{CREATE_PATH}",
            headers={"content-type": "application/json"},
            body=write_json({"apiKey": key, **fields}).encode(),
            timeout_seconds=account.timeout_seconds,
            secrets=[key],
        )
        return read_create(outcome, REFUSALS, lambda answer: _read_made(answer, request.order_id))

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """An answer for each tracking code. All are asked at the same time."""
        wanted = list(dict.fromkeys(refs))
        found = await asyncio.gather(*(verify(self._call, code, account) for code in wanted))
        return dict(zip(wanted, found, strict=True))

    @staticmethod
    def verify_callback(body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        """Whether the gateway's key, or the one before it, signed these bytes."""
        return is_signed(body, headers, account)

    @staticmethod
    def read_callback(body: bytes) -> CalledBack | None:
        """What a callback says. Raises CallbackUnreadable."""
        return read_callback(body)

    @staticmethod
    def documented(account: Account) -> Documented:
        """What Nebulox's documents show of its answers and callbacks."""
        return documented(account)

    @staticmethod
    def sample_callback(account: Account) -> SignedSample:
        """A callback of a type that is about no invoice."""
        return sample_callback(account)


def _write_fields(order: Order | CreateRequest, account: Account) -> dict[str, str | RawJSON]:
    """The body without the key. Raises OrderError."""
    if order.price is None:
        raise OrderError("price: is required, nebulox invoices are made for a price")
    if order.params:
        raise OrderError(f"params.{min(order.params)[:64]}: unknown field, nebulox takes no params")
    currency = _choose("currency", order.currency, account.currencies or CURRENCIES)
    fields: dict[str, str | RawJSON | None] = {
        "price": number(order.price),
        "orderId": order.order_id,
        "baseCurrency": None if currency is None else currency.lower(),
        "coinSymbol": _choose("pay_currency", order.pay_currency, account.pay_currencies or PAY_CURRENCIES),
        "networkName": _choose("network", order.network, account.networks or NETWORKS),
    }
    return {name: value for name, value in fields.items() if value is not None}


@functools.lru_cache(256)
def _choose(field: str, wanted: str | None, listed: tuple[str, ...]) -> str | None:
    """What the order asks for, in the listed spelling. Raises OrderError if it is not listed."""
    if wanted is None:
        return None
    for spelling in listed:
        if spelling.casefold() == wanted.strip().casefold():
            return spelling
    raise OrderError(f"{field}: must be one of {', '.join(listed)}")


def _read_made(answer: Answer, order_id: str) -> CreateAnswer:
    """Read a 2xx. Without an id and a page to pay on it is no invoice that anybody could use."""
    payload = answer.json()
    told = Told("create", payload)
    result = read_single(payload.get("result")) if isinstance(payload, dict) else None
    if result is None:
        return doubt(answer, "the answer holds no invoice", read_message(payload), told=told)
    ref, url = read_text(result.get("id"), MAX_REF), read_url(result.get("url"))
    if ref is None or url is None:
        return doubt(answer, f"the answer's invoice has no usable {'id' if ref is None else 'url'}", told=told)
    echo = result.get("orderId")
    if echo is not None and not echoes(order_id, echo):
        return doubt(answer, "the answer is about another order", told=told)
    return Created(
        raw=answer.raw(),
        told=told,
        provider_ref=ref,
        payment_url=url,
        # No price: the answer's is an echo, and the shop's own stays as the shop wrote it.
        currency=read_currency(result.get("baseCurrency")),
    )
