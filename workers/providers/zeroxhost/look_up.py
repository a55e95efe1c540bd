"""0xhost's look-ups: of one invoice, or by pages of its list, where one call covers many invoices.

Both are from its later documents. The spelling ``get_transation_by_track_id`` is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import structlog

from domain.account import Account
from domain.drift import Told
from domain.echo import names
from domain.evidence import CredentialsRefused, LookUpAnswer, RateLimited, Seen, Unreachable, Unreadable
from domain.exact_json import write_json
from domain.status import Status
from domain.transaction import looks_like_transaction
from domain.visible import one_line
from workers.providers.answer import Answer, Failure, read_message, unreadable
from workers.providers.call import Call
from workers.providers.fields import MAX_REF, MAX_WORD, read_epoch, read_single, read_text
from workers.providers.refusal import describe, is_page, read_refused_account
from workers.providers.zeroxhost.key import headers_of, secrets_of
from workers.providers.zeroxhost.refusals import REFUSALS, denies
from workers.providers.zeroxhost.statuses import STATUSES, UNPROVEN

LOOK_UP_PATH = "/API/get_transation_by_track_id"
LIST_PATH = "/API/list_transactions"

#: Up to this many invoices are asked about one by one; more are looked for in the list.
FEW = 4
PER_PAGE = 100
MAX_PAGES = 10
#: How many invoices that the list did not have are asked about one by one; the rest waits for its next look-up.
MAX_SINGLES = 25
MAX_UNKNOWN_WORDS = 1000  #: so many are remembered, so that each is logged only once

_log = structlog.get_logger(__name__)


class Inquiry:
    """The calls of one ``look_up`` or search, within one ``timeout_seconds`` of the account."""

    def __init__(self, call: Call, account: Account, unknown_words: set[str]) -> None:
        self._call = call
        self._account = account
        self._unknown_words = unknown_words
        self.pages = 0  #: of the list, asked for
        self._ends_at = asyncio.get_running_loop().time() + account.timeout_seconds

    async def ask(self, ref: str) -> LookUpAnswer:
        """Look up a single invoice."""
        outcome = await self.get(LOOK_UP_PATH, track_id=ref)
        if not isinstance(outcome, Answer):
            return outcome
        payload = outcome.json()
        said_of_it = payload if isinstance(payload, dict) else {}
        row = read_single(said_of_it.get("data")) if outcome.succeeded else None
        if not row or denies(said_of_it.get("success")) or said_of_it.get("error"):
            said = describe(outcome, payload) if is_page(outcome) else read_message(payload)
            told = Told("look-up", payload) if outcome.succeeded else None
            return unreadable(outcome, said or "the answer holds no invoice", told)
        told = Told("look-up", payload)
        if row.get("track_id") is None:  # nobody knows whose payment it tells of
            return unreadable(outcome, "the answer does not say which invoice it is about", told)
        if not names(ref, row["track_id"]):
            return unreadable(outcome, "the answer is about another invoice", told)
        return self.read_row(row, outcome, told)

    async def search_list(
        self, wanted: Sequence[str], pages: int = MAX_PAGES, *, while_it_helps: bool = False
    ) -> dict[str, LookUpAnswer]:
        """Answers for the invoices that are on the list's newest pages; the others are left out.

        ``while_it_helps``: stop after a page that has none of them. If a call fails, its failure is the answer for all
        that are not found yet.
        """
        missing, answers, first_size = set(wanted), dict[str, LookUpAnswer](), 0
        for page in range(1, pages + 1):
            self.pages, known = page, len(answers)
            outcome = await self.get(LIST_PATH, per_page=PER_PAGE, page=page)
            if not isinstance(outcome, Answer):
                return answers | dict.fromkeys(missing, outcome)
            rows = _read_rows(outcome)
            for row in rows:
                ref = read_text(row.get("track_id"), MAX_REF)
                if ref in missing:
                    answers[ref] = self.read_row(row, outcome, told_of(row))
                    missing.remove(ref)
            # The provider may make pages smaller than asked for: the last one is shorter than the first.
            first_size = first_size or len(rows)
            if not missing or not rows or len(rows) < first_size or (while_it_helps and len(answers) == known):
                break
        return answers

    async def get(self, path: str, **query: object) -> Answer | CredentialsRefused | RateLimited | Unreachable:
        """An answer to read, or the evidence for every invoice that the call was about.

        A look-up may always be repeated, so a lost answer and a 5xx count as unreachable here.
        """
        left_seconds = self._ends_at - asyncio.get_running_loop().time()
        if left_seconds <= 0:
            return Unreachable(reason="no answer within the time-out")
        outcome = await self._call.send(
            "GET",
            f"{self._account.base_url}{path}?{urlencode(query)}",
            headers=headers_of(self._account),
            timeout_seconds=left_seconds,
            secrets=secrets_of(self._account),
        )
        if isinstance(outcome, Failure):
            return Unreachable(reason=outcome.reason, asked_at=outcome.asked_at)
        if outcome.status >= 500:
            reason = outcome.reason(read_message(outcome.json()))
            return Unreachable(reason=reason, asked_at=outcome.asked_at, raw=outcome.raw())
        return read_refused_account(outcome, REFUSALS) or outcome

    def read_row(self, row: Mapping[str, object], answer: Answer, told: Told) -> LookUpAnswer:
        """What a row says about its invoice's payment. ``told``: the answer as drift is looked for in it."""
        raw = keep_row(row, answer)
        word = row.get("status")
        if not isinstance(word, str) or not word.strip():
            reason = answer.reason("the invoice has no status")
            return Unreadable(reason=reason, asked_at=answer.asked_at, raw=raw, told=told)
        shown = one_line(word, MAX_WORD)
        status, anomaly = STATUSES.get(shown.casefold(), (None, None))
        found = row.get("tx_hash")
        tx_hash = found if looks_like_transaction(found) else None
        if shown.casefold() == UNPROVEN and tx_hash is None:
            status = Status.PENDING
        if status is None:
            self._log_unknown(shown)
        return Seen(
            asked_at=answer.asked_at,
            raw=raw,
            told=told,
            status=status,
            word=shown,
            anomaly=anomaly,
            expires_at=read_epoch(row.get("expired_at")),
            network=read_text(row.get("network"), MAX_WORD) if tx_hash is not None else None,
            tx_hash=tx_hash,
        )

    def _log_unknown(self, word: str) -> None:
        known = self._unknown_words
        if word.casefold() not in known and len(known) < MAX_UNKNOWN_WORDS:
            known.add(word.casefold())
            _log.warning("provider.unknown_status", provider="zeroxhost", account=self._account.name, word=word)


def keep_row(row: Mapping[str, object], answer: Answer) -> str:
    """The row's scalars, as they may be stored: nested values are undocumented, and would make evidence unbounded."""
    return answer.keep(write_json({key: value for key, value in row.items() if not isinstance(value, (dict, list))}))


def told_of(row: Mapping[str, object]) -> Told:
    """A row of the list, in the shape of the answer to a single look-up."""
    return Told("look-up", {"data": row})


def _read_rows(answer: Answer) -> list[dict[str, object]]:
    """The rows of a page. None if it can't be read: the invoices are then asked about one by one."""
    payload = answer.json() if answer.succeeded else None
    rows = payload.get("data") if isinstance(payload, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
