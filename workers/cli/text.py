"""Values as text for a person."""

from __future__ import annotations

from datetime import UTC, datetime


def shown(value: object) -> str:
    """A value for a person: empty for None, a time without its fraction, control characters made visible."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in str(value))


def counted(count: int | str, one: str, many: str) -> str:
    """A count with its noun, in the singular or the plural."""
    return f"{count} {one if str(count) == '1' else many}"
