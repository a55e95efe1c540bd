"""0xhost: the provider sets amount and expiry, and gives an address. Look-ups are single, or by pages of its list.

A create is ``POST {base_url}/API/invoice`` (its API page).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.account import Account
from domain.drift import Documented
from domain.evidence import (
    CalledBack,
    CreateAnswer,
    LookUpAnswer,
    OrderRefused,
    SearchAnswer,
    SearchFailed,
    Unreadable,
)
from domain.exact_json import write_json
from domain.order import Order, OrderError
from domain.ports import CreateRequest, NextCall
from workers.providers.call import Call
from workers.providers.refusal import read_create
from workers.providers.zeroxhost.body import PROFILES, write_body
from workers.providers.zeroxhost.created import read_made
from workers.providers.zeroxhost.documented import documented
from workers.providers.zeroxhost.key import headers_of, secrets_of
from workers.providers.zeroxhost.look_up import FEW, MAX_PAGES, MAX_SINGLES, Inquiry
from workers.providers.zeroxhost.refusals import REFUSALS
from workers.providers.zeroxhost.search import Search

CREATE_PATH = "/API/invoice"


class ZeroxHost:
    """The adapter. It remembers only which undocumented status words it has logged."""

    name = "zeroxhost"
    can_be_asked = True
    asked_by_reference = False
    tells_refunds = True

    def __init__(self, call: Call) -> None:
        self._call = call
        self._unknown_words: set[str] = set()

    @staticmethod
    def check_account(account: Account) -> None:
        """Raise ValueError for an unknown profile, or a key that can't be sent as a header."""
        if account.profile is not None and account.profile not in PROFILES:
            raise ValueError(f"profile: must be one of {', '.join(sorted(PROFILES))}")
        key = account.api_key.get_secret_value()
        if not key.isascii() or not key.isprintable() or key != key.strip():
            raise ValueError("api_key: must be printable ASCII without spaces around it, it is sent as a header")

    @staticmethod
    def check_order(order: Order, account: Account) -> None:
        """Raise OrderError, naming the field. A price is only kept, not sent: the provider sets it."""
        if order.lifetime_minutes is not None:
            raise OrderError("lifetime_minutes: not taken, the provider gives the expiry")
        write_body(order, account)

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        """Make an invoice. ``success: false`` means refused, whatever the HTTP status."""
        try:
            body = write_body(request, account)
        except OrderError as error:  # the account's profile was changed since the order came in
            return OrderRefused(reason=str(error))
        outcome = await self._call.send(
            "POST",
            f"{account.base_url}{CREATE_PATH}",
            headers={**headers_of(account), "content-type": "application/json"},
            body=write_json(body).encode(),
            timeout_seconds=account.timeout_seconds,
            secrets=secrets_of(account),
        )
        sent = body.get("order_id")
        return read_create(outcome, REFUSALS, lambda answer: read_made(answer, request.invoice_id, sent))

    def verify_callback(self, body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        """False: 0xhost documents no callbacks to merchants, so none can be right."""
        return False

    def read_callback(self, body: bytes) -> CalledBack | None:
        """Nothing: see ``verify_callback``."""
        return None

    @staticmethod
    def sample_callback(account: Account) -> None:
        """None: see ``verify_callback``."""

    @staticmethod
    def documented(account: Account) -> Documented:
        """What 0xhost's documents show of its answers."""
        return documented(account)

    @staticmethod
    def can_search(account: Account) -> bool:
        """Only in profile ``order``: in the other one a row of the list has nothing of ours in it."""
        return account.profile == "order"

    async def find(
        self, request: CreateRequest, account: Account, since: datetime, next_call: NextCall
    ) -> SearchAnswer:
        """Look through the list, newest first, back to ``since``; all of it within one ``timeout_seconds``."""
        try:
            body = write_body(request, account)
        except OrderError as error:  # the account's profile was changed since the order came in
            return SearchFailed(reason=str(error))
        if not self.can_search(account):
            return SearchFailed(reason="the account's profile sends no order id to search by")
        inquiry = Inquiry(self._call, account, self._unknown_words)
        return await Search(inquiry, request.invoice_id, body, since).run(next_call)

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """An answer for each ref, all of it within one ``timeout_seconds`` of the account."""
        wanted = list(dict.fromkeys(refs))
        inquiry = Inquiry(self._call, account, self._unknown_words)
        answers = await inquiry.search_list(wanted) if len(wanted) > FEW else {}
        missing = [ref for ref in wanted if ref not in answers]
        asked, waiting = missing[:MAX_SINGLES], missing[MAX_SINGLES:]
        found = await asyncio.gather(*(inquiry.ask(ref) for ref in asked))
        answers.update(zip(asked, found, strict=True))
        answers.update({ref: Unreadable(reason="not found in the list, asked alone next time") for ref in waiting})
        return answers

    async def look_up_within(self, calls: int, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """``look_up`` with at most so many calls. The list is used only if they are too few to ask one by one, and only
        as long as its pages have what is wanted."""
        wanted = list(dict.fromkeys(refs))
        inquiry = Inquiry(self._call, account, self._unknown_words)
        answers: dict[str, LookUpAnswer] = {}
        if len(wanted) > calls:
            answers = await inquiry.search_list(wanted, min(calls, MAX_PAGES), while_it_helps=True)
        missing = [ref for ref in wanted if ref not in answers][: max(0, calls - inquiry.pages)]
        found = await asyncio.gather(*(inquiry.ask(ref) for ref in missing))
        return answers | dict(zip(missing, found, strict=True))
