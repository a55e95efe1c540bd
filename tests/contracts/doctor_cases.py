"""What the doctor's tests share: settings of a database of their own, and findings by their cause."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from config.settings import Settings, load_settings
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT
from workers.cli.doctor.finding import Finding

SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def settings(home: Path, database_url: str | None = None, **changes: Any) -> Settings:
    """Without a Redis unless one is named. ``changes``: knobs by their lower-case names."""
    accounts = {
        name: {"provider": name, "base_url": "http://127.0.0.1:1", "api_key": "k-secret-key"}
        for name in (ACCOUNT, SILENT_ACCOUNT)
    }
    accounts[SILENT_ACCOUNT]["on_doubt"] = "hold"
    given = {
        "home": home,
        "secret_key": SECRET_KEY,
        "accounts": json.dumps(accounts),
        "broker_url": "redis://127.0.0.1:1/0",
        "database_url": database_url,
    } | changes
    return load_settings({f"INVOICES_{name.upper()}": str(value) for name, value in given.items() if value is not None})


def by_cause(findings: Iterable[Finding]) -> dict[str | None, Finding]:
    """What is not well by its cause; there is one of each."""
    found = [finding for finding in findings if finding.state != "ok"]
    causes = {finding.cause: finding for finding in found}
    assert len(causes) == len(found), found
    return causes


def wrong(findings: Iterable[Finding]) -> list[str]:
    """The causes of what is wrong."""
    return sorted(finding.cause or "" for finding in findings if finding.state == "wrong")
