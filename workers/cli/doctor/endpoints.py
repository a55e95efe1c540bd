"""Receivers of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database


def check_endpoints(database: Database, config: Settings) -> Iterator[Finding]:
    """Whether their secrets open, and which are disabled."""
    from workers.outbound.secretbox import SecretBox
    from workers.store.endpoints import endpoints_for

    box = SecretBox([key.get_secret_value() for key in config.secret_keys()])
    with database.reading() as connection:
        found = endpoints_for(connection)
    for endpoint in found:
        for sealed in endpoint.sealed_secrets:
            box.open(sealed)  # raises SecretUnreadable, whose words say what to do
    disabled = [endpoint.id for endpoint in found if endpoint.disabled_at]
    if disabled:
        yield Finding("endpoints", "note", f"{len(found)} of them, disabled: {', '.join(disabled)}")
        return
    yield Finding("endpoints", "ok", f"{len(found)} of them, their secrets open with INVOICES_SECRET_KEY")
