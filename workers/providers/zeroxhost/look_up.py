"""0xhost's look-ups: one invoice, or the pages of its list, where one call covers many.

Both are from its later documents, which spell ``get_transation_by_track_id`` so.
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
from workers.providers.answer import Answer, Failure, read_message
from workers.providers.call import Call
from workers.providers.fields import MAX_REF, MAX_WORD, read_epoch, read_single, read_text
from workers.providers.refusal import describe, is_page, read_refused_account
from workers.providers.zeroxhost.key import headers_of, secrets_of
from workers.providers.zeroxhost.refusals import REFUSALS, denies
from workers.providers.zeroxhost.statuses import STATUSES, UNPROVEN

LOOK_UP_PATH = "/API/get_transation_by_track_id"
LIST_PATH = "/API/list_transactions"

#: Up to this many are asked one by one; more are looked for in the list, where one call covers many.
FEW = 4
PER_PAGE = 100
MAX_PAGES = 10
#: What the list did not have is asked one by one, so many at a time; the rest waits for its next turn.
MAX_SINGLES = 25
MAX_UNKNOWN_WORDS = 1000  #: remembered, so that each is logged once

_log = structlog.get_logger(__name__)


class Inquiry:
    """One ``look_up``: its account, and the time left for it."""

    def __init__(self, call: Call, account: Account, unknown_words: set[str]) -> None:
        self._call = call
        self._account = account
        self._unknown_words = unknown_words
        self.pages = 0  #: of the list, asked for
        self._ends_at = asyncio.get_running_loop().time() + account.timeout_seconds

    async def ask(self, ref: str) -> LookUpAnswer:
        """The documented look-up of a single invoice."""
        outcome = await self.get(LOOK_UP_PATH, track_id=ref)
        if not isinstance(outcome, Answer):
            return outcome
        payload = outcome.json()
        said_of_it = payload if isinstance(payload, dict) else {}
        row = read_single(said_of_it.get("data")) if outcome.succeeded else None
        if not row or denies(said_of_it.get("success")) or said_of_it.get("error"):
            said = describe(outcome, payload) if is_page(outcome) else read_message(payload)
            told = Told("look-up", payload) if outcome.succeeded else None
            return _unreadable(outcome, said or "the answer holds no invoice", told)
        told = Told("look-up", payload)
        if row.get("track_id") is None:  # whose payment it tells of, nobody knows
            return _unreadable(outcome, "the answer does not say which invoice it is about", told)
        if not names(ref, row["track_id"]):
            return _unreadable(outcome, "the answer is about another invoice", told)
        return self.read_row(row, outcome, told)

    async def search_list(
        self, wanted: Sequence[str], pages: int = MAX_PAGES, *, while_it_helps: bool = False
    ) -> dict[str, LookUpAnswer]:
        """Answers for those that the list's newest pages hold. What is not in them is left out.

        ``while_it_helps``: a page that holds none of them is the last.

        Whatever is wrong with the account or the connection is the answer for all that were not found before.
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
            # The provider may cap a page below what was asked for: short means shorter than its first one.
            first_size = first_size or len(rows)
            if not missing or not rows or len(rows) < first_size or (while_it_helps and len(answers) == known):
                break
        return answers

    async def get(self, path: str, **query: object) -> Answer | CredentialsRefused | RateLimited | Unreachable:
        """An answer to read, or what is to be said for every invoice asked about.

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
        """What a row says of its invoice's payment. ``told``: what it was read from."""
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
    """Scalars only: what is nested is undocumented and would make the evidence of a list's row unbounded."""
    return answer.keep(write_json({key: value for key, value in row.items() if not isinstance(value, (dict, list))}))


def told_of(row: Mapping[str, object]) -> Told:
    """A row of the list, like the answer to its own look-up."""
    return Told("look-up", {"data": row})


def _unreadable(answer: Answer, words: str, told: Told | None) -> Unreadable:
    return Unreadable(reason=answer.reason(words), asked_at=answer.asked_at, raw=answer.raw(), told=told)


def _read_rows(answer: Answer) -> list[dict[str, object]]:
    """The rows of a page; none where it can't be read (what is missing is then asked one by one)."""
    payload = answer.json() if answer.succeeded else None
    rows = payload.get("data") if isinstance(payload, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
