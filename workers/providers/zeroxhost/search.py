"""Looks through 0xhost's list for the invoice that a create made whose answer was lost. Only in profile ``order``, in
which rows echo our order id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from domain.echo import names
from domain.evidence import CredentialsRefused, Found, RateLimited, SearchAnswer, SearchFailed, Seen
from domain.ports import NextCall
from workers.providers.answer import Answer, read_message
from workers.providers.fields import MAX_REF, MAX_WORD, read_currency, read_epoch, read_text
from workers.providers.found import TOLERANCE, Candidate, conclude
from workers.providers.refusal import describe, is_page
from workers.providers.zeroxhost.created import build_created, name_unusable
from workers.providers.zeroxhost.look_up import LIST_PATH, MAX_PAGES, PER_PAGE, Inquiry, keep_row, told_of
from workers.providers.zeroxhost.refusals import denies


class Search:
    """One search: for which order, since when, and the rows found so far that echo its id."""

    def __init__(self, inquiry: Inquiry, invoice_id: str, body: Mapping[str, str], since: datetime) -> None:
        self._inquiry = inquiry
        self._invoice_id = invoice_id
        self._body = body
        self._since = since
        self._found: dict[str, Candidate] = {}
        self._known: set[str] = set()

    async def run(self, next_call: NextCall) -> SearchAnswer:
        """Search. An invoice that was found counts even if the rest of the list could not be read."""
        problem = await self._read_pages(next_call)
        answer = conclude(list(self._found.values()), self._since)
        return answer if problem is None or isinstance(answer, Found) else problem

    async def _read_pages(self, next_call: NextCall) -> SearchFailed | CredentialsRefused | RateLimited | None:
        """Read pages, newest first, until rows are older than the order. Returns what went wrong; None: nothing.

        Invoices made meanwhile push rows to later pages: those are seen twice, and none is missed.
        """
        first_size = 0
        for page in range(1, MAX_PAGES + 1):
            if page > 1:
                await next_call()
            outcome = await self._inquiry.get(LIST_PATH, per_page=PER_PAGE, page=page)
            if isinstance(outcome, (CredentialsRefused, RateLimited)):
                return outcome
            rows = _read_rows(outcome) if isinstance(outcome, Answer) else []
            if not isinstance(outcome, Answer) or isinstance(rows, str):
                reason = rows if isinstance(rows, str) else outcome.reason
                return SearchFailed(reason=f"the list: {reason}", asked_at=outcome.asked_at)
            new = [row for row in rows if self._note(row)]
            problem = next((said for row in new if (said := self._read(row, outcome))), None)
            if problem is not None:
                return SearchFailed(reason=problem, asked_at=outcome.asked_at)
            first_size = first_size or len(rows)
            if not rows or len(rows) < first_size or self._is_past(rows[-1]):
                return None
            if not new:
                return SearchFailed(reason=f"the list: page {page} repeats the ones before", asked_at=outcome.asked_at)
        return SearchFailed(reason=f"the list: more than {MAX_PAGES} pages since the order came")

    def _note(self, row: Mapping[str, object]) -> bool:
        """Whether the row is new."""
        ref = read_text(row.get("track_id"), MAX_REF)
        if ref is None or ref in self._known:
            return ref is None
        self._known.add(ref)
        return True

    def _read(self, row: Mapping[str, object], answer: Answer) -> str | None:
        """Remember the row if it is the order's. Returns why that can't be told; None: it can."""
        sent, echo = self._body["order_id"], row.get("order_id")
        if str(echo).strip() != sent.strip():
            doubtful = names(sent, echo)  # "12" and "0012" may be two orders of ours
            return f"a row's order id is {str(echo)[:MAX_WORD]!r}, which may be ours" if doubtful else None
        ref = read_text(row.get("track_id"), MAX_REF)
        if ref is None:
            return "a row has our order id and no usable track_id"
        usable, told = not name_unusable(row), told_of(row)
        made = build_created(answer, row, self._invoice_id, sent, told) if usable else None
        if made is not None:
            made = dataclasses.replace(made, raw=keep_row(row, answer))
        seen = self._inquiry.read_row(row, answer, told)
        status = seen.status if isinstance(seen, Seen) else None
        self._found[ref] = Candidate(ref, read_epoch(row.get("date")), made, status, self._differs(row))
        return None

    def _differs(self, row: Mapping[str, object]) -> str:
        wanted = {name: self._body[name] for name in ("currency", "pay_currency")}
        told = {name: read_currency(row.get(name), MAX_WORD) for name in wanted}
        return ", ".join(name for name, word in told.items() if word is not None and word != wanted[name].upper())

    def _is_past(self, row: Mapping[str, object]) -> bool:
        made_at = read_epoch(row.get("date"))
        return made_at is not None and made_at < self._since - TOLERANCE


def _read_rows(answer: Answer) -> list[dict[str, object]] | str:
    """The rows of a page, or why the page proves nothing."""
    payload = answer.json()
    if not answer.succeeded or not isinstance(payload, dict) or denies(payload.get("success")) or payload.get("error"):
        said = describe(answer, payload) if is_page(answer) else read_message(payload)
        return answer.reason(said or "it can't be read")
    rows = payload.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return answer.reason("it holds no rows")
    return rows
