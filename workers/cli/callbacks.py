"""`invoices callbacks`: whether a provider's callbacks would arrive, and which came with a wrong signature."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from workers.cli.callback_address import callback_url
from workers.cli.context import open_database, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, limit_option, plain, print_json, print_table

if TYPE_CHECKING:
    import httpx

    from domain.ports import SignedSample
    from workers.store.rows import StoredRow

TIMEOUT_SECONDS = 15.0
SHOWN_BYTES = 300  #: of an answer that is not 200
SHOWN_CHARACTERS = 100  #: of a forged callback's body, in a table


@click.group("callbacks")
def callbacks_command() -> None:
    """Providers' callbacks: whether they would arrive, and which came with a wrong signature."""


@callbacks_command.command("test")
@click.argument("account")
@json_option
def test(account: str, as_json: bool) -> int:
    """Post a signed sample that is about no invoice to the account's public callback address.

    Nothing of it is kept. The exit code is 1 when the answer is not 200.
    """
    from workers.providers.registry import PROVIDERS

    config = settings()
    if account not in config.accounts:
        raise CommandFailed(f"there is no account {account!r}; known are {', '.join(sorted(config.accounts))}")
    configured = config.accounts[account]
    sample = PROVIDERS[configured.provider].sample_callback(configured)
    if sample is None:
        raise CommandFailed(f"{configured.provider} sends no callbacks: its invoices are looked up")
    url = callback_url(config, account)
    if url is None:
        raise CommandFailed("INVOICES_PUBLIC_URL is not set: it says where providers reach the web process")
    began = time.monotonic()
    status, words = _post(url, sample)
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        print_json({"account": account, "url": url, "ok": status == 200, "status": status, "words": words or None})
    if status != 200:
        came = "no answer came" if status is None else f"answered {status}"
        raise CommandFailed(f"{url}: {came}{f' ({words})' if words else ''}{_hint(status)}")
    if not as_json:
        click.echo(f"{url} answered 200 within {seconds:.3f} s: callbacks arrive, and the key is the same there")
    return 0


@callbacks_command.command("forged")
@limit_option
@json_option
def list_forged(limit: int, as_json: bool) -> None:
    """List the newest callbacks whose signature was wrong. They were answered 401, and changed nothing.

    At most 100 are kept, and of a flood only a few per second; the metric invoices_callbacks counts all of them.
    """
    from workers.store.forged import forged

    with open_database() as database:
        rows = database.read(forged, limit)
    if as_json:
        for row in rows:
            print_json(_fields(row))
        return
    columns = ("AT", "ACCOUNT", "FROM", "WHY", "BYTES", "BODY")
    lines = ((r.at, r.account, r.client, r.why, r.size, _line(str(plain(bytes(r.body))))) for r in rows)
    print_table(columns, lines, empty="no callback came with a wrong signature")


def _fields(row: StoredRow) -> dict[str, object]:
    headers = json.loads(row.headers)
    return {
        "id": row.id,
        "at": plain(row.at),
        "account": row.account,
        "why": row.why,
        "client": row.client,
        "size": row.size,
        "header_names": headers.pop("names"),
        "headers": headers,
        "raw": plain(bytes(row.body)),
    }


def _line(text: str) -> str:
    return " ".join(text.split())[:SHOWN_CHARACTERS]


def _post(url: str, sample: SignedSample) -> tuple[int | None, str]:
    """The answer's status (None: no answer came) and its first words."""
    import httpx

    try:
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client,
            client.stream("POST", url, content=sample.body, headers=dict(sample.headers)) as answer,
        ):
            return answer.status_code, "" if answer.status_code == 200 else _beginning(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return None, " ".join(str(error).split()) or type(error).__name__


def _beginning(answer: httpx.Response) -> str:
    text = next(answer.iter_bytes(SHOWN_BYTES), b"").decode("utf-8", "replace")
    return " ".join(text.split())


def _hint(status: int | None) -> str:
    if status == 401:
        return ": does the web process there have this account, with the same api_key?"
    if status is not None and 300 <= status < 400:
        return ": providers follow no redirect, give the last address"
    if status in {404, 405, 421}:
        return ": does this address lead to the web process (INVOICES_WEB_ALLOWED_HOSTS, the proxy's paths)?"
    return ": does the web process run (`invoices web`), and does the address lead to it?"
