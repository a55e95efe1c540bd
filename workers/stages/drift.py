"""What is new in providers' answers: found here, kept and told by the store together with the evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

from domain.account import Account
from domain.drift import Watch
from domain.evidence import Evidence, Seen
from domain.masking import mask
from domain.ports import Provider

Said = TypeVar("Said", bound=Evidence)


class DriftWatch:
    """Every account's answers held against what its provider documents."""

    def __init__(self, accounts: Mapping[str, Account], providers: Mapping[str, Provider]) -> None:
        self._watches = {
            name: Watch(name, account.provider, providers[account.provider].documented(account), _hiding(account))
            for name, account in accounts.items()
        }

    def look(self, account: str, evidence: Said) -> Said:
        """The evidence, with what is new in the answer that it was read from."""
        watch = self._watches.get(account)
        if watch is None:
            return evidence
        news = () if evidence.told is None else watch.look(evidence.told)
        if isinstance(evidence, Seen) and evidence.others:
            news += tuple(new for one in evidence.others if one.told is not None for new in watch.look(one.told))
        return dataclasses.replace(evidence, news=tuple(dict.fromkeys(news))) if news else evidence


def _hiding(account: Account) -> Callable[[str], str]:
    """Masks the account's secrets in a text."""
    secrets = account.known_keys()
    return lambda text: mask(text, secrets)
