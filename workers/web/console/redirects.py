"""Where somebody may be sent next: to a page of the console, and nowhere else."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from domain.visible import why_meaningless

HOME = "/console/"
LONGEST = 2000
#: Not where anybody wanted to go.
_DOORS = ("/console/sign-in", "/console/sign-out", "/console/link", "/console/language")


def local_place(given: str | None, *, doors: bool = False) -> str:
    """The page that was wanted, or the overview where this is no page of ours: ``//elsewhere``, ``/console/../``.
    ``doors``: the sign-in itself may be meant."""
    if given is None or len(given) > LONGEST or not given.isascii() or why_meaningless(given) or "\\" in given:
        return HOME
    try:
        parts = urlsplit(given)
    except ValueError:
        return HOME
    path = unquote(parts.path)
    is_ours = not parts.scheme and not parts.netloc and path.startswith(HOME) and "\\" not in path
    if not is_ours or {"..", "."} & set(path.split("/")) or "//" in path:
        return HOME
    return HOME if path.startswith(_DOORS) and not doors else given
