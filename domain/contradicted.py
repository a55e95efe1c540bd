"""What an invoice remembers of contradictions, a few words in its ``contradicted``. Pure; the lifecycle decides.

- ``kind``: it was told. ``~kind``: it is still to be told.
- ``#digest``: what a look-up said against the invoice since the last mark, unless that was final already.
- ``=digest``: the same, and it is settled: a mark said that the invoice stays expired. Look-ups go on and say it again,
  which is no news. ``=`` alone: what was settled was said by others.

Of digests the newest few are kept: look-ups may alternate between answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from domain.evidence import Seen
from domain.money import plain_value

_OWED, _SAID, _SETTLED = "~", "#", "="
_DIGITS = 12  #: of a digest
_MOST = 4  #: digests that were said, and digests that are settled: all fits into the column
#: Kinds that are about the payment itself: of these the same answer has other words as time goes by.
_OF_PAYMENTS = frozenset({"status", "late_payment"})


@dataclass(frozen=True, slots=True)
class Contradicted:
    """An invoice's ``contradicted``, read."""

    told: tuple[str, ...] = ()  #: kinds
    owed: tuple[str, ...] = ()  #: kinds
    said: tuple[str, ...] = ()  #: digests since the last mark, the newest last
    settled: tuple[str, ...] | None = None  #: digests, the newest last; None: no mark has settled anything

    @classmethod
    def read(cls, text: str | None) -> Contradicted:
        """As it is stored."""
        words = (text or "").split()
        settled = [word.removeprefix(_SETTLED) for word in words if word.startswith(_SETTLED)]
        return cls(
            told=tuple(word for word in words if word[0] not in {_OWED, _SAID, _SETTLED}),
            owed=tuple(word.removeprefix(_OWED) for word in words if word.startswith(_OWED)),
            said=tuple(word.removeprefix(_SAID) for word in words if word.startswith(_SAID)),
            settled=tuple(filter(None, settled)) if settled else None,
        )

    @property
    def text(self) -> str | None:
        """As it is to be stored."""
        words = [*self.told, *(_OWED + kind for kind in self.owed)]
        words += [_SAID + digest for digest in self.said]
        words += [] if self.settled is None else [_SETTLED + digest for digest in self.settled or ("",)]
        return " ".join(words) or None

    def knows(self, kind: str) -> bool:
        """Whether it was told, or is going to be."""
        return kind in self.told or kind in self.owed

    def telling(self, kind: str) -> Contradicted:
        """It is told."""
        return replace(self, told=(*self.told, kind), owed=tuple(one for one in self.owed if one != kind))

    def owing(self, kind: str) -> Contradicted:
        """It is to be told later."""
        return replace(self, owed=(*self.owed, kind))

    def has_settled(self, digest: str | None) -> bool:
        """Whether a mark has settled what a look-up says."""
        return digest is not None and digest in (self.settled or ())

    def hearing(self, digest: str | None) -> Contradicted:
        """A look-up said this, which no mark has settled."""
        return self if digest is None or digest in self.said else replace(self, said=(*self.said, digest)[-_MOST:])

    def settling(self) -> Contradicted:
        """All of it is settled. What comes after this is told anew."""
        return Contradicted(owed=self.owed, settled=(*(self.settled or ()), *self.said)[-_MOST:])

    @property
    def is_settled(self) -> bool:
        """Whether no look-up has said anything else since the last mark that settled what was said."""
        return self.settled is not None and not self.said


def digest_of(evidence: Seen, note: str) -> str:
    """What a look-up says against an invoice, so that it is known again. ``note``: ``kind: words``."""
    said = [
        f"{one.status} {one.word} {one.reference} {None if one.paid_amount is None else plain_value(one.paid_amount)}"
        for one in (evidence, *evidence.others)
    ]
    said += [] if note.partition(":")[0] in _OF_PAYMENTS else [note]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:_DIGITS]


def kind_and_words(note: str | None, detail: str | None) -> tuple[str, str]:
    """What a contradiction that is kept as evidence is about, and what was said. Earlier releases noted neither."""
    if note is None:
        return "status", str(detail)[:200]
    kind, _, words = note.partition(": ")
    return kind, words
