"""CALLBACK: callbacks are matched with their invoices and applied. No I/O: the look-up comes after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from domain.account import Account
from domain.decision import Stage
from domain.evidence import CalledBack
from domain.masking import mask
from domain.ports import CallbackUnreadable, Provider
from workers.engine import Batching, Keeping, Observer, Slots, SlotUse, Work
from workers.stages.drift import DriftWatch
from workers.stages.judging import tell_all
from workers.store.agenda import Claim
from workers.store.callbacks import Read
from workers.store.store import Store

log = structlog.get_logger()

CALLBACK_BATCH = 100
CALLBACK_LEASE_SECONDS = 10.0


def callbacks(
    store: Store,
    accounts: Mapping[str, Account],
    providers: Mapping[str, Provider],
    observer: Observer | None = None,
    drift: DriftWatch | None = None,
) -> Work[Claim, Claim]:
    """The stage as a value."""
    slots, told = {name: Slots(1) for name in accounts}, observer or Observer()
    read = _reader(accounts, providers, drift or DriftWatch({}, {}))
    return Work(
        stage=Stage.CALLBACK,
        lanes=lambda: list(accounts),
        slots=slots.__getitem__,
        claim=lambda lane, limit: store.claim(Stage.CALLBACK, lane, limit, CALLBACK_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        commit=lambda claims: _judge(store, claims, read, told),
        name_of=lambda claim: {"callback": claim.subject, "account": claim.lane},
        batching=Batching(claim=CALLBACK_BATCH, group=CALLBACK_BATCH),
        slot_use=SlotUse(until_committed=True),
        keeping=Keeping(store.renew),
    )


def _reader(accounts: Mapping[str, Account], providers: Mapping[str, Provider], drift: DriftWatch) -> Read:
    """Reads kept callbacks as evidence, without the account's keys in it."""

    def read(account: str, body: bytes) -> CalledBack | None:
        found = accounts.get(account)
        if found is None:
            return None
        try:
            said = providers[found.provider].read_callback(body)
        except CallbackUnreadable:  # another release kept it, or the account has another provider now
            return None
        return said and drift.look(account, replace(said, raw=mask(said.raw or "", found.callback_keys())))

    return read


def _judge(store: Store, claims: Sequence[Claim], read: Read, told: Observer) -> list[Claim]:
    """Returns what was left because somebody else has it locked."""
    outcomes, matches, left = store.judge_callbacks(claims, read)
    tell_all(outcomes, told)
    for one in matches:
        if one.reason is not None:
            log.warning("callback.unmatched", account=one.claim.lane, callback=one.callback_id, reason=one.reason)
    return left
