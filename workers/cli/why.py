"""`invoices why`: the one reason why nothing happens to an order; with `--all`, what is late in the whole system."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from workers.cli.accounts import require_account
from workers.cli.context import open_database, settings_to_read
from workers.cli.output import has_colours, json_option, print_json
from workers.cli.text import shown
from workers.cli.which import NAME, NAMES, tell_others
from workers.cli.wrapping import wrap

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.why import Why
    from workers.store.database import Database
    from workers.store.reads.why.order import Around

LABEL_CELLS = 9
#: Causes of what is over, or goes as it should.
CALM = frozenset({"final", "waits_for_payer", "confirming", "in_call", "cannot_be_asked", "waits_for_account"})


@click.command(
    "why",
    help=f"Say why nothing happens to an order, by {NAMES}. Of several the newest. With --all: what is late, by cause; "
    "the exit code is 1 unless all is well.",
)
@click.argument("name", metavar=f"[{NAME}]", required=False)
@click.option("--account", help="Whose; the newest of any account otherwise.")
@click.option("--all", "everything", is_flag=True, help="Of everything.")
@json_option
def why_command(name: str | None, account: str | None, everything: bool, as_json: bool) -> int:
    if everything and account is not None:
        raise click.UsageError("--account goes with an order: --all is of all accounts")
    if (name is None) != everything:
        raise click.UsageError("name an order, or give --all (and not both)")
    config = settings_to_read()
    with open_database(config) as database:
        if name is None:
            from workers.cli.health import tell_late

            return tell_late(database, config, as_json=as_json)
        why, called, beside = _ask(database, config, name, account)
        if why.cause == "unknown_order":  # only now: a rejected order may name an unknown account
            require_account(database, config, account)
    if as_json:
        from domain.why import why_fields

        print_json(why_fields(why))
    else:
        _print_why(why, called, beside)
    return 0


def _ask(database: Database, config: Settings, name: str, account: str | None) -> tuple[Why, str, str | None]:
    """The cause, what to call the order in the output, and a line on its invoice (None: there is none)."""
    from domain.why import first_cause
    from workers.store.reads.search import search
    from workers.store.reads.why.order import read_facts, read_facts_of_name

    found = database.read(search, name, account)
    facts = None if found is None else database.read(read_facts, database, found.newest.id, around(config))
    if found is None or facts is None:
        return first_cause(database.read(read_facts_of_name, database, name, account)), name, None
    if len(found.rows) > 1:
        tell_others(name, found, found.newest)
    row = found.newest
    return first_cause(facts), row.order_id, f"{row.id}, {row.provider_account}, {row.status}"


def around(config: Settings) -> Around:
    """What the settings and Redis know beyond the rows."""
    from workers.cli.breakers import breaker_states
    from workers.cli.callback_address import callback_place
    from workers.store.reads.why.order import Around

    def place(account: str) -> str | None:
        return callback_place(config, account) if account in config.accounts else None

    return Around(config.accounts, place, partial(breaker_states, config))


def _print_why(why: Why, name: str, beside: str | None) -> None:
    from domain.why.words import at

    style = "green" if why.cause in CALM else "yellow"
    cause = click.style(why.cause.value, fg=style, bold=True) if has_colours() else why.cause.value
    click.echo(f"{cause}  {shown(name) or repr(name)}")
    for line in (beside, why.text):
        if line is not None:
            click.echo(wrap("  ", line))
    since = None if why.since is None else at(why.since)
    labelled = ("since", since), ("next", _next(why)), ("helps", why.command)
    for label, value in (*labelled, *(("new", words) for words in why.drift)):
        if value is not None:
            click.echo(wrap(f"  {label:{LABEL_CELLS}}", value))


def _next(why: Why) -> str:
    from domain.why.words import at

    then = why.next or "nothing by itself"
    return f"{then}, at {at(why.next_at)}" if why.next_at else then
