"""Who acts on the command line: the options that say so, and what is kept of it."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from workers.store.acts import Actor

LONGEST_REASON, LONGEST_NAME = 500, 100

by_option = click.option("--by", help="Who says so; kept.  [default: the user of this shell]")
why_option = click.option("--reason", help="Why; kept, and shown by `invoices audit`.")


def acting(command: Callable[..., object]) -> Callable[..., object]:
    """Adds ``--by`` and ``--reason`` to a command."""
    return by_option(why_option(command))


def actor(by: str | None, reason: str | None) -> Actor:
    """Who acts, on which host as which user, and why. Raises UsageError for one that is empty or too long."""
    from workers.store.acts import Actor

    words = None if reason is None else text_option("--reason", reason, LONGEST_REASON)
    name = _user_of_shell() if by is None else text_option("--by", by, LONGEST_NAME)
    return Actor(name, f"cli {_user()}@{socket.gethostname()}", words)


def text_option(option: str, value: str, longest: int) -> str:
    """The text on one line, each run of white space made one space. Raises UsageError."""
    text = " ".join(value.split())
    if not text or len(text) > longest:
        raise click.UsageError(f"{option} must have 1 to {longest} characters")
    return text


def _user_of_shell() -> str:
    try:
        return getpass.getuser()[:LONGEST_NAME]
    except (OSError, KeyError):  # a container's user may have no name
        return _user()


def _user() -> str:
    """The user that this process runs as, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
