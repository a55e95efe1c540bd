"""`invoices enqueue`: one order by flags, or many from JSON Lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from workers.cli.context import ensure_broker, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, print_json
from workers.cli.progress import progress_bar
from workers.cli.verdicts import Awaited, key_of, told_as_json

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.order import Order
    from workers.cli.publisher import Publisher
    from workers.store.reads.verdicts import Key, Verdict

BATCH_ORDERS = 500
#: Far below the 1 MiB that the intake takes; larger messages gain nothing.
BATCH_BYTES = 512 * 1024
MAX_LINE_BYTES = 64 * 1024


@click.command("enqueue")
@click.option("--account", help="A configured account.")
@click.option("--order-id", help="The order service's own id.")
@click.option("--idempotency-key", help="Unique per account.  [default: the order id]")
@click.option("--price", help="Exact decimal, such as 19.99.")
@click.option("--currency", help="Of the price, such as EUR.")
@click.option("--pay-currency", help="What is paid in, such as BTC.")
@click.option("--network", help="Such as Bitcoin.")
@click.option("--lifetime-minutes", help="Only where the provider gives no expiry; decimals are fine.")
@click.option("--create-before", help="RFC 3339 time; still queued then, the order fails as too late.")
@click.option("--fallback-account", "fallback_accounts", multiple=True,
              help="Tried when the ones before refuse the order or can't be reached; may be repeated.")  # fmt: skip
@click.option("--params", help="The provider's own fields, a JSON object.")
@click.option("--metadata", help="Returned in every event, a JSON object of at most 4 KiB.")
@click.option("--file", "path", type=click.Path(dir_okay=False), help="Orders as JSON Lines; - is standard input.")
@click.option("--wait", "patience", type=click.FloatRange(min=0), default=30, show_default=True, metavar="SECONDS",
              help="How long to wait for a broker that is away.")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Don't wait for the verdict of the intake.")
@json_option
def enqueue_command(path: str | None, patience: float, no_wait: bool, as_json: bool, **flags: object) -> int:
    """Queue one order by flags, or many from a file or standard input (JSON Lines, one order per line).

    Orders are checked before they are sent. Bad lines of a file are reported with their number, the others are sent,
    and the exit code is 1. Sending the same orders again is harmless. Then it waits a moment for the intake to store
    or refuse them (up to 500); a refused one is reported with its reason, and the exit code is 1.
    """
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if path is not None and given:
        raise click.UsageError(f"--file takes whole orders: leave --{_flag(next(iter(given)))} out")
    if path is None and not given and not sys.stdin.isatty():
        path = "-"
    if path is None and not given:
        raise click.UsageError("give --account, --order-id and what the provider needs, or --file")
    if path is not None:
        return _send_file(path, settings(), patience, as_json, wait=not no_wait)
    return _send_one(given, settings(), patience, as_json, wait=not no_wait)


def _flag(name: str) -> str:
    return {"fallback_accounts": "fallback-account"}.get(name, name.replace("_", "-"))


def _send_one(given: dict[str, object], config: Settings, patience: float, as_json: bool, *, wait: bool) -> int:
    from domain.order import OrderError

    fields = dict(given)
    for name in ("params", "metadata"):
        if name in fields:
            fields[name] = _read_object(f"--{name}", str(fields[name]))
    try:
        order = check_order(fields, config)
    except OrderError as error:
        raise CommandFailed(f"{error}; nothing was sent", exit_code=2) from None
    awaited = Awaited(config if wait else None)
    with open_publisher(config, patience) as publisher:
        sent = wire_fields(fields)
        publisher.send("invoices.create", sent)
    awaited.add(order, sent)
    verdict = awaited.verdicts().get(key_of(order))
    if as_json:
        print_json(_receipt(order) | told_as_json(verdict))
    elif verdict is None:
        unseen = "; no intake has taken it yet" if wait and awaited.can_be_known else ""
        click.echo(f"queued {order.account}/{order.order_id}{unseen} (invoices show {order.order_id})")
    elif verdict.outcome == "stored":
        click.echo(f"stored {order.account}/{order.order_id} as {verdict.invoice_id} (invoices show {order.order_id})")
    return _tell_refused({key_of(order): verdict} if verdict else {})


def _read_object(name: str, text: str) -> object:
    from domain.exact_json import JsonError, read_json

    try:
        value = read_json(text)
    except JsonError as error:
        raise click.UsageError(f"{name} {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} must be a JSON object")
    return value


def check_order(fields: object, config: Settings) -> Order:
    """Check all that can be checked before an order is sent. Raises OrderError."""
    from domain.fallbacks import check_fallbacks
    from domain.order import OrderError, check_price, parse_order
    from workers.providers.registry import provider

    order = parse_order(fields)
    account = config.accounts.get(order.account)
    if account is None:
        known = ", ".join(sorted(config.accounts))
        raise OrderError(f"account: there is no account {order.account!r}; configured are {known}")
    check_price(order, account)
    provider(account.provider).check_order(order, account)  # a static method: no adapter is built for it
    check_fallbacks(order, config.accounts, lambda one, at: provider(at.provider).check_order(one, at))
    return order


def wire_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """The order as it is sent: prices always as text, so that no reader on the way turns one into a float."""
    from domain.money import format_amount

    sent = {name: value for name, value in fields.items() if value is not None}
    price, others = sent.get("price"), sent.get("fallback_accounts")
    if isinstance(price, (Decimal, int)):
        sent["price"] = format_amount(Decimal(price))
    if isinstance(others, (list, tuple)):
        sent["fallback_accounts"] = [wire_fields(one) if isinstance(one, Mapping) else one for one in others]
    return sent


@contextlib.contextmanager
def open_publisher(config: Settings, patience_seconds: float) -> Iterator[Publisher]:
    """A publisher; starts the embedded broker if that is the one to use."""
    ensure_broker(config)
    from workers.cli.publisher import Publisher

    notice: Callable[[str], None] = lambda line: click.echo(f"invoices: {line}", err=True)  # noqa: E731
    with Publisher(config, patience_seconds=patience_seconds, notice=notice) as publisher:
        yield publisher


def _receipt(order: Order) -> dict[str, object]:
    return {"account": order.account, "order_id": order.order_id, "idempotency_key": order.idempotency_key}


class _Batches:
    """Orders of a file, sent in lists that fit into a message."""

    def __init__(self, publisher: Publisher, as_json: bool, awaited: Awaited) -> None:
        self._publisher, self._as_json, self._awaited = publisher, as_json, awaited
        self._batch: list[tuple[Order, dict[str, object]]] = []
        self._size = 0
        self.sent = 0

    def add(self, order: Order, fields: dict[str, object], size: int) -> None:
        if len(self._batch) == BATCH_ORDERS or self._size + size > BATCH_BYTES:
            self.flush()
        self._batch.append((order, fields))
        self._size += size

    def flush(self) -> None:
        """Send what is gathered. Raises CommandFailed, which says how many orders were sent before."""
        if not self._batch:
            return
        try:
            self._publisher.send("invoices.create_many", {"orders": [fields for _, fields in self._batch]})
        except CommandFailed as error:
            raise CommandFailed(f"{error}; {self.sent} orders were sent, the rest can be sent again whole") from error
        self.sent += len(self._batch)
        for order, fields in self._batch:
            self._awaited.add(order, fields)
        if self._as_json:
            for order, _ in self._batch:
                print_json(_receipt(order))
        self._batch.clear()
        self._size = 0


def _tell_refused(verdicts: Mapping[Key, Verdict]) -> int:
    """Print a line on standard error for each order that was refused; the exit code."""
    refused = {key: one.reason for key, one in verdicts.items() if one.outcome == "refused"}
    for (account, key), reason in refused.items():
        click.echo(f"invoices: {account}/{key} was refused: {reason}", err=True)
    return 1 if refused else 0


def _send_file(path: str, config: Settings, patience: float, as_json: bool, *, wait: bool) -> int:
    bad, awaited = 0, Awaited(config if wait else None)
    with (
        _open(path) as source,
        open_publisher(config, patience) as publisher,
        progress_bar("queueing", _size(source)) as advance,
    ):
        batches = _Batches(publisher, as_json, awaited)
        for number, line in _lines(source):
            found = _read_line(number, line, config)
            bad += found is None and bool(line.strip())
            if found is not None:
                batches.add(*found, len(line))
            advance(len(line))
        batches.flush()
    verdicts = awaited.verdicts()
    if not as_json:
        stored = sum(one.outcome == "stored" for one in verdicts.values())
        known = f"; stored: {stored}" if verdicts else ""
        click.echo(f"queued {batches.sent} orders{known}" + (f"; {bad} lines were left out" if bad else ""))
    refused = _tell_refused(verdicts)
    return 1 if bad else refused


def _open(path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise CommandFailed(f"--file {path}: {error.strerror}", exit_code=2) from None


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; only the beginning of one that is too long."""
    number = 0
    while line := source.readline(MAX_LINE_BYTES + 2):
        number += 1
        while len(line) > MAX_LINE_BYTES + 1 and (rest := source.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield number, line


def _read_line(number: int, line: bytes, config: Settings) -> tuple[Order, dict[str, object]] | None:
    from domain.exact_json import JsonError, read_json
    from domain.order import OrderError

    if not line.strip():
        return None
    try:
        if len(line) > MAX_LINE_BYTES + 1:
            raise OrderError(f"is longer than {MAX_LINE_BYTES} bytes")
        fields = read_json(line.decode("utf-8-sig"))
        return check_order(fields, config), wire_fields(fields)
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except (JsonError, OrderError) as error:
        problem = str(error)
    click.echo(f"invoices: line {number}: {problem}", err=True)
    return None


def _size(source: IO[bytes]) -> int | None:
    """Bytes of the file; None for a pipe."""
    with contextlib.suppress(OSError):
        return os.fstat(source.fileno()).st_size or None
    return None
