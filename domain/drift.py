"""Drift: what a provider's answer has that neither its documents nor its earlier answers had. A field, a type, a word
of a list of words (statuses, currencies, networks), more decimals.

No value is ever told, except the word of a field that holds one of such a list. A name or word that does not look like
one is told as ``*``: a provider may put anything there, for example a customer's address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from domain.currency import is_currency
from domain.event import PROVIDER_DRIFT, format_time, notice
from domain.network import is_network

if TYPE_CHECKING:
    from domain.account import Account

Kind = Literal["word", "field", "type", "decimals", "more"]
KINDS: tuple[str, ...] = get_args(Kind)

#: How much of an answer is looked at: levels, fields in all, objects of a list.
MOST_LEVELS, MOST_FIELDS, MOST_OBJECTS = 8, 500, 20
#: How many new names of one object are told. With more, it is a map, and its keys are data, not names.
MOST_NAMES = 16
#: Characters of a name or a word, and of a path of names.
LONGEST_NAME, LONGEST_PATH = 40, 120
#: Numbers of decimals are not told apart beyond this.
MOST_DECIMALS = 99
#: Up to this many invoices are counted of each drift; a higher count is told as "at least".
MOST_INVOICES = 1000

#: Told in place of a name or word that does not look like one.
ODD = "*"
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.-]*")
_WORD = re.compile(r"[^\W\d_][\w ./()+-]*")
_LONG_NUMBER = re.compile(r"\d{5}|(?:[0-9a-fA-F]{4,}-){2}")


class Told(NamedTuple):
    """A parsed answer, and the call that it answers: ``create``, ``look-up``; or a ``callback``."""

    call: str
    content: object


class Novelty(NamedTuple):
    """Something new in an account's answers. ``call`` and ``field`` say where. A new word counts for its list, wherever
    it stands: ``call`` is then empty, and ``field`` is the list's name. ``value``: the word, the type, the number."""

    account: str
    provider: str
    kind: Kind
    call: str
    field: str
    value: str

    @property
    def sentence(self) -> str:
        """In plain words, without a full stop."""
        return f"{self.provider} sends {_SENTENCES[self.kind](self)}"

    @property
    def short(self) -> str:
        """In a few words, for a table."""
        return _SHORT[self.kind].format(self)

    def told(self, event_id: str, number: int, invoice_id: str | None, since: datetime) -> bytes:
        """The event's bytes."""
        data = {
            "account": self.account,
            "provider": self.provider,
            "drift": number,
            "kind": self.kind,
            "call": self.call or None,
            "field": self.field or None,
            "value": self.value or None,
            "text": self.sentence,
            "since": format_time(since),
            "invoice": invoice_id,
        }
        return notice(event_id, PROVIDER_DRIFT, since, data, subject=self.account, account=self.account)


_SENTENCES: Mapping[Kind, Callable[[Novelty], str]] = {
    "word": lambda new: f"a {new.field} it never sent: {new.value}",
    "field": lambda new: f"a field it never sent: {new.field} ({new.call})",
    "type": lambda new: f"{new.field} as {new.value}, which it never did ({new.call})",
    "decimals": lambda new: f"{new.field} with {new.value} decimals, more than it ever did ({new.call})",
    "more": lambda _: "more that is new than is kept; accept what is known, and the rest is told",
}


_SHORT: Mapping[Kind, str] = {
    "word": "{0.field} {0.value}",
    "field": "field {0.field}",
    "type": "{0.field} as {0.value}",
    "decimals": "{0.field} with {0.value} decimals",
    "more": "more than is kept",
}


def more_of(new: Novelty, accepted: int) -> Novelty:
    """Told in place of whatever is beyond the bound. ``accepted``: how often an operator has accepted that there is
    more; each time makes another drift."""
    return new._replace(kind="more", call="", field="", value=str(accepted) if accepted else "")


# ---------------------------------------------------------------- what is documented


@dataclass(frozen=True, slots=True)
class Words:
    """A list of words, by its name (``status``, ``currency``, ``network``). ``known`` takes them in lower case."""

    name: str
    known: Container[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A field as documents show it: its types in Python, and the fields of an object (or of each object of a list)."""

    types: frozenset[type]
    words: Words | None = None
    decimals: int | None = None
    fields: Mapping[str, Shape] | None = None


#: What a provider documents of its answers: the whole answer, by call.
Documented = Mapping[str, Shape]


def one_of(*types: type) -> Shape:
    """A field of one of these types."""
    return Shape(frozenset(types))


#: Providers write null for what is not there yet.
TEXT, FLAG = one_of(str), one_of(bool)
TEXT_OR_NULL, SCALAR = one_of(str, type(None)), one_of(str, int, Decimal, type(None))
NUMBER, WHOLE = one_of(int, Decimal), one_of(int)


def word(words: Words, *, or_null: bool = False) -> Shape:
    """A field that holds a word of a list."""
    return Shape(frozenset((str, type(None)) if or_null else (str,)), words=words)


def amount(decimals: int, *types: type) -> Shape:
    """A field that holds a number with at most so many decimals, or one of ``types``."""
    return Shape(frozenset({int, Decimal, *types}), decimals=decimals)


def group(fields: Mapping[str, Shape], *, or_list: bool = False, or_null: bool = False) -> Shape:
    """An object; with ``or_list`` a list of such objects as well, empty ones included."""
    types = (dict, *((list,) if or_list else ()), *((type(None),) if or_null else ()))
    return Shape(frozenset(types), fields=fields)


class _Either(Container[str]):
    """What the system itself knows, and some other words."""

    def __init__(self, is_known: Callable[[str], bool], others: Collection[str] = ()) -> None:
        self._is_known = is_known
        self._others = frozenset(word.casefold() for word in others)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and (self._is_known(word) or word in self._others)


def currencies(*others: str) -> Words:
    """ISO 4217, the coins that are known here, and ``others``: documents show examples only."""
    return Words("currency", _Either(lambda word: is_currency(word.upper()), others))


def networks(*others: str) -> Words:
    """The usual names of networks, and ``others``."""
    return Words("network", _Either(is_network, others))


class AccountWords(NamedTuple):
    """The lists of words that depend on an account: its settings may add to what is known."""

    currency: Words
    network: Words


def words_of(account: Account) -> AccountWords:
    """What an account's answers may have as a currency or coin, and as a network."""
    coins = (*(account.currencies or ()), *(account.pay_currencies or ()))
    return AccountWords(currencies(*coins), networks(*(account.networks or ())))


_TYPE_NAMES = {
    str: "text",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "a list",
}


# ---------------------------------------------------------------- what is new


class Watch:
    """Compares one account's answers with what is documented. It remembers new names only, a bounded number."""

    def __init__(self, account: str, provider: str, documented: Documented, hide: Callable[[str], str] = str) -> None:
        self._account = account
        self._provider = provider
        self._documented = documented
        self._hide = hide  #: changes a text that has a secret in it
        self._names: dict[tuple[str, str], set[str]] = {}

    def look(self, told: Told) -> tuple[Novelty, ...]:
        """What is new in an answer, each once. Never raises, whatever the answer. Nothing is new in one that is no
        object: whoever reads it complains of that."""
        shape, content = self._documented.get(told.call), told.content
        if shape is None or type(content) is not dict:
            return ()
        walk = _Walk(self, told.call)
        walk.into(content, shape.fields or {}, "", 1)
        return tuple(walk.found)

    def novelty(self, kind: Kind, call: str, field: str, value: str = "") -> Novelty:
        """A novelty of this account's."""
        return Novelty(self._account, self._provider, kind, call, field[:LONGEST_PATH], value)

    def word_of(self, text: str) -> str:
        """The word as it may be told."""
        return self._plain(text.strip(), _WORD)

    def name_in(self, call: str, path: str, name: str) -> str:
        """A new field's name as it may be told."""
        shown = self._plain(name, _NAME)
        names = self._names.setdefault((call, path), set())
        if shown not in names:
            if len(names) >= MOST_NAMES:
                return ODD
            names.add(shown)
        return shown

    def _plain(self, text: str, form: re.Pattern[str]) -> str:
        if len(text) > LONGEST_NAME or not form.fullmatch(text) or _LONG_NUMBER.search(text):
            return ODD
        return text if self._hide(text) == text else ODD


class _Walk:
    """Goes through one answer."""

    __slots__ = ("_call", "_left", "_watch", "found")

    def __init__(self, watch: Watch, call: str) -> None:
        self._watch = watch
        self._call = call
        self._left = MOST_FIELDS
        self.found: dict[Novelty, None] = {}

    def into(self, content: Mapping[object, object], known: Mapping[str, Shape], path: str, level: int) -> None:
        """Look at an object. ``path``: where it stands, with a full stop at its end; empty for the whole answer."""
        self._left -= len(content)
        if self._left < 0:
            return
        for name, value in content.items():
            shape = known.get(name)  # type: ignore[call-overload]  # JSON's names are texts
            if shape is None:
                self._note("field", f"{path}{self._watch.name_in(self._call, path, str(name))}")
                continue
            kind = type(value)
            if kind not in shape.types:
                self._note("type", f"{path}{name}", _TYPE_NAMES.get(kind, ODD))
            if shape.fields is not None:
                self._further(value, shape.fields, f"{path}{name}.", level + 1)
            elif shape.words is not None:
                self._word(value, shape.words)
            elif shape.decimals is not None:
                self._decimals(value, shape.decimals, f"{path}{name}")

    def _further(self, value: object, known: Mapping[str, Shape], path: str, level: int) -> None:
        if level > MOST_LEVELS:
            return
        for one in value[:MOST_OBJECTS] if type(value) is list else (value,):
            if type(one) is dict:
                self.into(one, known, path, level)

    def _word(self, value: object, words: Words) -> None:
        if type(value) is str and value.strip() and value.strip().casefold() not in words.known:
            self.found[self._watch.novelty("word", "", words.name, self._watch.word_of(value))] = None

    def _decimals(self, value: object, known: int, path: str) -> None:
        found = _decimals_of(value)
        if found > known:
            self._note("decimals", path, str(min(found, MOST_DECIMALS)))

    def _note(self, kind: Kind, field: str, value: str = "") -> None:
        self.found[self._watch.novelty(kind, self._call, field, value)] = None


def _decimals_of(value: object) -> int:
    """Of a number, or of a text that is one."""
    if type(value) is str:
        _, _, behind = value.partition(".")
        return len(behind) if behind.isdigit() else 0
    if type(value) is not Decimal:
        return 0
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
