"""Text as every database takes it."""

from __future__ import annotations


def storable(text: str) -> str:
    """Fit for every database: PostgreSQL's text takes no NUL, and no encoding takes half a surrogate pair."""
    if text.isascii() and "\x00" not in text:
        return str(text)
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
