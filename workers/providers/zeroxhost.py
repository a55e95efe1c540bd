"""0xhost: the provider sets the amount and the expiry, gives an address, and can be asked one by one or in pages.

Create is ``POST {base_url}/API/invoice`` (its API page); look-up and list are from its later documents, which spell
``get_transation_by_track_id`` so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import structlog

from domain.account import Account
from domain.echo import names
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
from domain.exact_json import write_json
from domain.order import Order, OrderError
from domain.ports import CreateRequest
from domain.status import Anomaly, Status
from domain.transaction import looks_like_transaction
from workers.providers.answer import (
    Answer,
    Failure,
    doubt,
    one_line,
    read_message,
)
from workers.providers.call import Call
from workers.providers.fields import (
    MAX_ADDRESS,
    MAX_REF,
    MAX_URL,
    MAX_WORD,
    read_amount,
    read_currency,
    read_epoch,
    read_single,
    read_text,
)
from workers.providers.refusal import Refusals, describe, is_page, read_create, read_refused_account, refuse_order

CREATE_PATH = "/API/invoice"
LOOK_UP_PATH = "/API/get_transation_by_track_id"
LIST_PATH = "/API/list_transactions"

#: The body's fields per profile: the API page's two, and a sister site's five.
PROFILES: Mapping[str, tuple[str, ...]] = {
    "server": ("user_id", "server_id"),
    "order": ("user_id", "order_id", "currency", "pay_currency", "network"),
}
DEFAULT_PROFILE = "server"
#: Fields of ``params`` that the order itself answers where they are left out.
FROM_ORDER = frozenset({"order_id", "currency", "pay_currency", "network"})
MAX_PARAM = 255

#: The provider's words, compared without case. A word that is not here changes nothing.
STATUSES: Mapping[str, tuple[Status, Anomaly | None]] = {
    "new": (Status.PENDING, None),
    "waiting": (Status.PENDING, None),
    "paying": (Status.CONFIRMING, None),
    "paid": (Status.PAID, None),
    "expired": (Status.EXPIRED, None),
    "underpaid": (Status.EXPIRED, Anomaly.UNDERPAID),
    "refunded": (Status.REFUNDED, None),
}
#: A fresh row says so already: without a transaction's hash it is no proof of a payment.
UNPROVEN = "paying"

#: Up to so many are asked one by one; more are looked for in the list, where one call covers many.
FEW = 4
PER_PAGE = 100
MAX_PAGES = 10
#: What the list did not have is asked one by one, so many at a time; the rest waits for its next turn.
MAX_SINGLES = 25

MAX_LIFETIME_MINUTES = Decimal(525_600)
#: ``expired_at`` and ``lifetime`` may differ by so much before somebody should hear of it.
TOLERANCE = timedelta(minutes=1)

#: HTTP's own words for a refused key: no document names others. A refusal says ``success: false``.
REFUSALS = Refusals(key_statuses=frozenset({401, 403}), is_own=lambda payload: _denies(payload.get("success")))

MAX_UNKNOWN_WORDS = 1000  #: remembered, so that each is logged once

_log = structlog.get_logger(__name__)


class ZeroxHost:
    """The adapter. All it remembers is which undocumented status words it has logged."""

    name = "zeroxhost"
    gives_expiry = True
    can_be_asked = True
    asked_by_reference = False
    takes_price = False

    def __init__(self, call: Call) -> None:
        self._call = call
        self._unknown_words: set[str] = set()

    @staticmethod
    def check_account(account: Account) -> None:
        """Raise ValueError for an unknown profile and for a key that no header can carry."""
        if account.profile is not None and account.profile not in PROFILES:
            raise ValueError(f"profile: must be one of {', '.join(sorted(PROFILES))}")
        key = account.api_key.get_secret_value()
        if not key.isascii() or not key.isprintable() or key != key.strip():
            raise ValueError("api_key: must be printable ASCII without spaces around it, it is sent as a header")

    @staticmethod
    def check_order(order: Order, account: Account) -> None:
        """Raise OrderError, naming the field. A price is taken for the record and not sent: the provider sets it."""
        if order.lifetime_minutes is not None:
            raise OrderError("lifetime_minutes: not taken, the provider gives the expiry")
        _write_body(order, account)

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        """Make an invoice. Refused is what says ``success: false``, whatever its HTTP status."""
        try:
            body = _write_body(request, account)
        except OrderError as error:  # the account's profile was changed since the order came in
            return OrderRefused(reason=str(error))
        outcome = await self._call.send(
            "POST",
            f"{account.base_url}{CREATE_PATH}",
            headers={**_headers(account), "content-type": "application/json"},
            body=write_json(body).encode(),
            timeout_seconds=account.timeout_seconds,
            secrets=_secrets(account),
        )
        return read_create(outcome, REFUSALS, lambda answer: _read_made(answer, request.invoice_id))

    def verify_callback(self, body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        """No callback of 0xhost's to merchants is documented: none can be right."""
        return False

    def read_callback(self, body: bytes) -> CalledBack | None:
        """Nothing: see ``verify_callback``."""
        return None

    @staticmethod
    def sample_callback(account: Account) -> None:
        """None: see ``verify_callback``."""

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """An answer for each ref, all of it within one ``timeout_seconds`` of the account."""
        wanted = list(dict.fromkeys(refs))
        inquiry = _Inquiry(self._call, account, self._unknown_words)
        answers = await inquiry.search_list(wanted) if len(wanted) > FEW else {}
        missing = [ref for ref in wanted if ref not in answers]
        asked, waiting = missing[:MAX_SINGLES], missing[MAX_SINGLES:]
        found = await asyncio.gather(*(inquiry.ask(ref) for ref in asked))
        answers.update(zip(asked, found, strict=True))
        answers.update({ref: Unreadable(reason="not found in the list, asked alone next time") for ref in waiting})
        return answers


class _Inquiry:
    """One ``look_up``: its account, and the time left for it."""

    def __init__(self, call: Call, account: Account, unknown_words: set[str]) -> None:
        self._call = call
        self._account = account
        self._unknown_words = unknown_words
        self._ends_at = asyncio.get_running_loop().time() + account.timeout_seconds

    async def ask(self, ref: str) -> LookUpAnswer:
        """The documented look-up of a single invoice."""
        outcome = await self._get(LOOK_UP_PATH, track_id=ref)
        if not isinstance(outcome, Answer):
            return outcome
        payload = outcome.json()
        row = read_single(payload.get("data")) if isinstance(payload, dict) and outcome.succeeded else None
        if not row or _denies(payload.get("success")) or payload.get("error"):
            said = describe(outcome, payload) if is_page(outcome) else read_message(payload)
            return _unreadable(outcome, said or "the answer holds no invoice")
        if row.get("track_id") is None:  # whose payment it tells of, nobody knows
            return _unreadable(outcome, "the answer does not say which invoice it is about")
        if not names(ref, row["track_id"]):
            return _unreadable(outcome, "the answer is about another invoice")
        return self._read_row(row, outcome)

    async def search_list(self, wanted: Sequence[str]) -> dict[str, LookUpAnswer]:
        """Answers for those that the list's newest pages hold. What is not in them is left out.

        Whatever is wrong with the account or the connection is the answer for all that were not found before.
        """
        missing, answers, first_size = set(wanted), dict[str, LookUpAnswer](), 0
        for page in range(1, MAX_PAGES + 1):
            outcome = await self._get(LIST_PATH, per_page=PER_PAGE, page=page)
            if not isinstance(outcome, Answer):
                return answers | dict.fromkeys(missing, outcome)
            rows = _read_rows(outcome)
            for row in rows:
                ref = read_text(row.get("track_id"), MAX_REF)
                if ref in missing:
                    answers[ref] = self._read_row(row, outcome)
                    missing.remove(ref)
            # The provider may cap a page below what was asked for: short means shorter than its first one.
            first_size = first_size or len(rows)
            if not missing or not rows or len(rows) < first_size:
                break
        return answers

    async def _get(self, path: str, **query: Any) -> Answer | LookUpAnswer:
        """An answer to read, or what is to be said for every invoice asked about.

        A look-up may always be repeated, so a lost answer and a 5xx count as unreachable here.
        """
        left_seconds = self._ends_at - asyncio.get_running_loop().time()
        if left_seconds <= 0:
            return Unreachable(reason="no answer within the time-out")
        outcome = await self._call.send(
            "GET",
            f"{self._account.base_url}{path}?{urlencode(query)}",
            headers=_headers(self._account),
            timeout_seconds=left_seconds,
            secrets=_secrets(self._account),
        )
        if isinstance(outcome, Failure):
            return Unreachable(reason=outcome.reason, asked_at=outcome.asked_at)
        if outcome.status >= 500:
            reason = outcome.reason(read_message(outcome.json()))
            return Unreachable(reason=reason, asked_at=outcome.asked_at, raw=outcome.raw())
        return read_refused_account(outcome, REFUSALS) or outcome

    def _read_row(self, row: Mapping[str, Any], answer: Answer) -> LookUpAnswer:
        # Scalars only: what is nested is undocumented and would make the evidence of a list's row unbounded.
        raw = answer.keep(write_json({key: value for key, value in row.items() if not isinstance(value, (dict, list))}))
        word = row.get("status")
        if not isinstance(word, str) or not word.strip():
            return Unreadable(reason=answer.reason("the invoice has no status"), asked_at=answer.asked_at, raw=raw)
        shown = one_line(word)[:MAX_WORD]
        status, anomaly = STATUSES.get(shown.casefold(), (None, None))
        if shown.casefold() == UNPROVEN and not looks_like_transaction(row.get("tx_hash")):
            status = Status.PENDING
        if status is None:
            self._log_unknown(shown)
        return Seen(asked_at=answer.asked_at, raw=raw, status=status, word=shown, anomaly=anomaly)

    def _log_unknown(self, word: str) -> None:
        known = self._unknown_words
        if word.casefold() not in known and len(known) < MAX_UNKNOWN_WORDS:
            known.add(word.casefold())
            _log.warning("provider.unknown_status", provider=ZeroxHost.name, account=self._account.name, word=word)


def _unreadable(answer: Answer, words: str) -> Unreadable:
    return Unreadable(reason=answer.reason(words), asked_at=answer.asked_at, raw=answer.raw())


def _read_rows(answer: Answer) -> list[dict[str, Any]]:
    """The rows of a page; none where it can't be read (what is missing is then asked one by one)."""
    payload = answer.json() if answer.succeeded else None
    rows = payload.get("data") if isinstance(payload, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _headers(account: Account) -> dict[str, str]:
    return {"x-api-key": account.api_key.get_secret_value()}


def _secrets(account: Account) -> list[str]:
    return [account.api_key.get_secret_value()]


def _write_body(order: Order | CreateRequest, account: Account) -> dict[str, str]:
    """The create's body: exactly the profile's fields, each an opaque text. Raises OrderError."""
    profile = account.profile or DEFAULT_PROFILE
    names = PROFILES.get(profile)
    if names is None:
        raise OrderError(f"account: its profile must be one of {', '.join(sorted(PROFILES))}")
    unknown = sorted(set(order.params) - set(names))
    if unknown:
        raise OrderError(
            f"params.{one_line(unknown[0])[:64]}: unknown field, profile {profile} takes {', '.join(names)}"
        )
    return {name: _read_param(name, order, profile) for name in names}


def _read_param(name: str, order: Order | CreateRequest, profile: str) -> str:
    value = order.params.get(name)
    if value is None and name in FROM_ORDER:
        value = getattr(order, name)
    if value is None:
        raise OrderError(f"params.{name}: is required, a text (profile {profile})")
    if not isinstance(value, str) or not value.strip():
        raise OrderError(f"params.{name}: must be a text that is not empty")
    if len(value) > MAX_PARAM or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise OrderError(f"params.{name}: must be at most {MAX_PARAM} characters without control characters")
    return value


def _read_made(answer: Answer, invoice_id: str) -> CreateAnswer:
    """A 2xx. Only ``false`` (or PHP's 0) is a refusal; an invoice names its track id, address, coin and amount."""
    payload = answer.json()
    if not isinstance(payload, dict):
        return doubt(answer, "the answer is no JSON object")
    transaction = payload.get("transaction")
    if _denies(payload.get("success")) or (isinstance(transaction, dict) and _denies(transaction.get("success"))):
        return refuse_order(answer, payload)
    data = read_single(payload.get("data"))
    if data is None:
        return doubt(answer, "the answer holds no invoice", read_message(payload))
    needed = {
        "track_id": read_text(data.get("track_id"), MAX_REF),
        "address": read_text(data.get("address"), MAX_ADDRESS),
        "pay_amount": read_amount(data.get("pay_amount")),
        "pay_currency": read_currency(data.get("pay_currency"), MAX_WORD),
    }
    unusable = [name for name, value in needed.items() if value is None]
    if unusable:
        return doubt(answer, f"the answer's invoice has no usable {', '.join(unusable)}")
    return _build_created(answer, data, invoice_id)


def _denies(success: Any) -> bool:
    """``false`` or the number 0. Texts and null are nobody's documented "no": what they come with decides."""
    return isinstance(success, (bool, int, Decimal)) and success == 0


def _build_created(answer: Answer, data: Mapping[str, Any], invoice_id: str) -> Created:
    expires_at, lifetime_minutes = _read_expiry(data, answer.asked_at, invoice_id)
    return Created(
        asked_at=answer.asked_at,
        raw=answer.raw(),
        provider_ref=read_text(data.get("track_id"), MAX_REF) or "",
        price=read_amount(data.get("amount")),
        currency=read_currency(data.get("currency")),
        pay_amount=read_amount(data.get("pay_amount")),
        pay_currency=read_currency(data.get("pay_currency"), MAX_WORD),
        network=read_text(data.get("network"), MAX_WORD),
        address=read_text(data.get("address"), MAX_ADDRESS),
        qr_code=read_text(data.get("qr_code"), MAX_URL),
        lifetime_minutes=lifetime_minutes,
        expires_at=expires_at,
        made_at=read_epoch(data.get("date")),
    )


def _read_expiry(
    data: Mapping[str, Any], asked_at: datetime, invoice_id: str
) -> tuple[datetime | None, Decimal | None]:
    """(expires_at, lifetime in minutes). ``expired_at`` is the truth; ``lifetime``, counted from ``date``, stands in.

    Without either, or without a ``date`` to count from, there is no time here: an invoice that was made is not lost
    over it, its expiry is then the account's policy.
    """
    expired_at, made_at = read_epoch(data.get("expired_at")), read_epoch(data.get("date"))
    minutes = read_amount(data.get("lifetime"))
    lifetime = minutes if minutes is not None and minutes <= MAX_LIFETIME_MINUTES else None
    span = None if lifetime is None else timedelta(seconds=float(lifetime * 60))
    if expired_at is None:
        _log.warning("provider.expiry_unreadable", provider=ZeroxHost.name, invoice_id=invoice_id)
        expired_at = None if span is None or made_at is None else made_at + span
    elif span is not None and abs(expired_at - (made_at or asked_at) - span) > TOLERANCE:
        _log.warning(
            "provider.expiry_disagrees",
            provider=ZeroxHost.name,
            invoice_id=invoice_id,
            expired_at=expired_at.isoformat(),
            lifetime_minutes=str(lifetime),
        )
    return expired_at, lifetime
