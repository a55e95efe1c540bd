"""Where the web process listens, as its line in the supervisor's log says, and by which address it is reached."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: What `invoices web` prints once it takes requests, behind its process's name.
_LISTENING = re.compile(r"^web[0-9]*\s+\| listening on (http://\S+?)/?$")
#: Hosts that mean every address of this machine, and one of these addresses.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on


def read_listening(line: str) -> str | None:
    """The web process's URL; None: the line is another."""
    match = _LISTENING.match(line)
    return None if match is None else reachable(match[1])


def reachable(url: str) -> str:
    """The URL. Where its host means every address: one by which this machine is reached, without a path."""
    place = urlsplit(url)
    host = EVERYWHERE.get(place.hostname or "")
    return url if host is None else f"http://{host}:{place.port}"
