"""Lines of the books as transactions of beancount (https://beancount.github.io). Pure.

Names of accounts and commodities are made of ours so that unlike ones stay unlike: what beancount's grammar does not
take is replaced, and a part of its hash is added.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from decimal import Decimal

from domain.books import PERSON, Line, told_metadata
from domain.money import format_amount, negated
from domain.visible import escape_all

#: How a file begins: an account is opened by its first transaction. A ledger that includes the file opens them itself.
HEAD = 'plugin "beancount.plugins.auto_accounts"\n\n'
_LONGEST_COMMODITY = 24  #: characters
_LONGEST_TEXT = 2000
_MOST_DIGITS = 28  #: it rounds what has more
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_PLAIN_COMMODITY = re.compile(r"(?!(?:TRUE|FALSE|NULL)$)[A-Z][A-Z0-9]{1,19}", re.ASCII)
#: Columns that the transaction itself tells.
_TOLD = frozenset({"time", "account", "payment", "kind", "asset", "amount", "order_id", "currency"})


def transaction(line: Line, zone: tzinfo, keys: Sequence[str] = ()) -> str:
    """The line as a transaction, and an empty line. It is flagged with ``!`` if its amount is assumed, or if it has no
    postings: nobody knows the amount or its coin, or it has more digits than beancount reckons with."""
    postings = list(_postings(line))
    day, flag = line.at.astimezone(zone).date(), "*" if line.amount is not None and len(postings) > 1 else "!"
    head = f"{day} {flag} {quoted(line.account)} {quoted(f'{line.kind} {line.payment} of {line.order_id}')}"
    told = (f"  {name}: {quoted(text)}" for name, text in (*_columns(line, zone), *_metadata(line, keys)))
    return "\n".join([head, *told, *postings]) + "\n\n"


def _postings(line: Line) -> Iterator[str]:
    amount = line.amount if line.amount is not None else line.assumed_amount
    if amount is None:
        return
    if not line.asset or len(amount.as_tuple().digits) > _MOST_DIGITS:
        yield f"  amount: {quoted(' '.join(filter(None, (format_amount(amount), line.asset))))}"
        return
    commodity, name = commodity_of(line.asset), account_of(line.account)
    held = f"Assets:Invoices:{name}" + (":By-hand" if line.said_by == PERSON else "")
    yield f"  {held}  {format_amount(amount)} {commodity}"
    yield f"  Income:Invoices:{name}  {format_amount(negated(amount))} {commodity}"


def account_of(name: str) -> str:
    """A part of an account's name."""
    if _PLAIN_NAME.fullmatch(name):
        return name[:1].upper() + name[1:]
    return f"X{re.sub('[^A-Za-z0-9-]', '-', name)[:40]}-{_hash(name)}"


def commodity_of(asset: str) -> str:
    """A commodity. Lower and upper case mean the same coin."""
    text = asset.strip().upper()
    if _PLAIN_COMMODITY.fullmatch(text):
        return text
    kept = re.sub("[^A-Z0-9]", "-", text)[: _LONGEST_COMMODITY - len("X-01234567")]
    return f"X{kept}-{_hash(text)}"


def quoted(text: str) -> str:
    """A string, on one line."""
    shown = escape_all(text[:_LONGEST_TEXT]).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + shown.replace("\n", "\\n").replace("\t", "\\t") + '"'


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8].upper()


def _columns(line: Line, zone: tzinfo) -> Iterator[tuple[str, str]]:
    for name, value in line.values(zone).items():
        if value is None or name in _TOLD:
            continue
        text = format_amount(value) if isinstance(value, Decimal) else str(value)
        yield name.replace("_", "-"), f"{text} {line.currency}" if name == "price" else text


def _metadata(line: Line, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Keys that its grammar does not take are numbered."""
    for number, key in enumerate(keys, 1):
        value = told_metadata(line.metadata, [key])[f"metadata.{key}"]
        if value is not None:
            plain = re.sub("[^A-Za-z0-9-]", "-", key)
            yield f"metadata-{plain}" if plain == key else f"metadata-{number}-{plain}", str(value)
