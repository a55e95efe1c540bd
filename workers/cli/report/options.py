"""The options of reports."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TypedDict

import click

from domain.instants import read_instant, read_zone
from workers.cli.output import json_option

Command = Callable[..., object]
LONGEST_KEY, MOST_KEYS = 200, 50


class Shared(TypedDict):
    """What both reports are given."""

    zone: tzinfo
    accounts: tuple[str, ...]
    chosen: str | None
    only_totals: bool
    path: Path | None
    as_json: bool


class Zone(click.ParamType[tzinfo]):
    """A zone by its name."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        if isinstance(value, tzinfo):
            return value
        try:
            return read_zone(str(value))
        except ValueError as error:
            self.fail(str(error))


class Instant(click.ParamType[datetime]):
    """A date, or a time in RFC 3339; where it names no offset, of the zone of ``--zone``, which is read before it."""

    name = "date or time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        zone = None if ctx is None else ctx.params.get("zone")
        try:
            return read_instant(str(value), zone if isinstance(zone, tzinfo) else read_zone("UTC"))
        except ValueError as error:
            self.fail(str(error))


def shared(formats: Collection[str]) -> Callable[[Command], Command]:
    """The options that both reports have."""
    zone = click.option(
        "--zone",
        type=Zone(),
        default="UTC",
        show_default=True,
        is_eager=True,
        help="Of dates and of local times, such as Europe/Berlin.",
    )
    output = click.option(
        "--output",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Into this file: written whole or not at all, and readable by you only.",
    )
    options = (
        zone,
        click.option("--account", "accounts", multiple=True, help="Only of this account; may be repeated."),
        click.option("--format", "chosen", type=click.Choice(list(formats)), help="[default: csv]"),
        click.option("--totals", "only_totals", is_flag=True, help="Sums of the lines, instead of them."),
        output,
        json_option,
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def check_keys(keys: Collection[str]) -> list[str]:
    """Keys of metadata, each once. Raises UsageError."""
    for key in keys:
        if not 0 < len(key) <= LONGEST_KEY:
            raise click.UsageError(f"--metadata must have 1 to {LONGEST_KEY} characters")
    if len(keys) > MOST_KEYS:
        raise click.UsageError(f"--metadata may be given at most {MOST_KEYS} times")
    return list(dict.fromkeys(keys))
