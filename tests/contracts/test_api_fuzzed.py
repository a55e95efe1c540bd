"""The live web process against its own OpenAPI document: what is made up from it is answered as it says, never by 5xx.

The same cases on every run: they are derived from the document alone.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from sys import executable

import httpx
import pytest

from domain.permissions import Scope
from tests.contracts.web_process import ORDER, Site

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

COMMAND = [
    *(str(Path(executable).parent / "schemathesis"), "run", "--generation-deterministic"),
    *("--continue-on-failure", "--suppress-health-check=all", "--no-shrink", "--no-color"),
]
#: No answer is waited for: made-up requests would wait for what nobody does.
AT_ONCE = {"wait": {"const": 0}, "Prefer": {"const": "wait=0"}}
#: What only the answers before know.
OF_SEQUENCE = {"If-Match": {"const": "*"}}
NOT_GIVEN = {"type": "null"}
#: What only the settings know of an order.
OF_ACCOUNT = {
    "account": {"const": ORDER["account"]},
    "price": {"type": "string", "pattern": r"^[1-9][0-9]{0,5}(\.[0-9]{1,2})?$"},
    "currency": {"enum": ["EUR", "usd"]},
    "create_before": NOT_GIVEN,
    "fallback_accounts": NOT_GIVEN,
    "idempotency_key": NOT_GIVEN,
    "lifetime_minutes": NOT_GIVEN,
    "network": NOT_GIVEN,
    "params": NOT_GIVEN,
    "pay_currency": NOT_GIVEN,
}
#: The same of endpoints and replays.
OF_ENDPOINT = {
    "url": {"const": "http://127.0.0.1:9/hooks"},
    "events": {"const": ["invoice.paid"]},
    "accounts": NOT_GIVEN,
    "headers": {"const": {"x-shop": "1"}},
}
OF_REPLAY = {"event": NOT_GIVEN, "types": {"const": ["invoice.paid"]}, "since": NOT_GIVEN, "until": NOT_GIVEN}
#: Which check is left out where. Whether an order can be taken is for its account to say, which the document doesn't
#: know; and what is right may still meet what was sent before.
AS_SERVED = """
[checks]
positive_data_acceptance.enabled = false
[generation]
max-examples = 6
"""
NARROWED = """
[generation]
max-examples = 10
[phases.stateful.generation]
max-examples = 40
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", "404", "409", "410"]
[phases.stateful.checks]
positive_data_acceptance.enabled = false
"""


@pytest.fixture
def site(tmp_path, database_url):
    site = Site(tmp_path, database_url, INVOICES_WEBHOOK_ALLOW="127.0.0.1")
    yield site
    site.close()


@pytest.fixture
def document(site):
    """As it is served, but that nobody waits."""
    served = httpx.get(f"{site.web.url}/v1/openapi.json", timeout=60, trust_env=False).json()
    limit_parameters(served, AT_ONCE)
    return served


def limit_parameters(document, schemas):
    """Let parameters with these names have other schemas."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = schemas.get(parameter["name"], parameter["schema"])


def fuzz(site, document, settings, *options):
    """Nothing is found. The output shows each fault with the request that brings it about."""
    folder = site.web.log.parent
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(settings)
    token = site.token(Scope.ADMIN)
    told = ["openapi.json", "--url", site.web.url, "-H", f"Authorization: Bearer {token}", *options]
    done = subprocess.run([*COMMAND, *told], cwd=folder, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.web.lines("web.bug") == site.web.lines("api.bug") == []
    return done.stdout


def test_whatever_is_asked_is_answered_as_documented(site, document):
    fuzz(site, document, AS_SERVED, "--phases=coverage,fuzzing")


def test_what_is_right_is_taken_and_leads_on_by_its_links(site, document):
    limit_parameters(document, OF_SEQUENCE)
    schemas = document["components"]["schemas"]
    schemas["Order"]["properties"] |= OF_ACCOUNT
    schemas["Order"]["required"] += ["price", "currency"]
    schemas["MarkRequest"]["properties"]["amount"] = OF_ACCOUNT["price"]
    for name in ("EndpointRequest", "EndpointChange"):
        schemas[name]["properties"] |= OF_ENDPOINT
    schemas["ReplayRequest"]["properties"] |= OF_REPLAY
    told = fuzz(site, document, NARROWED, "--phases=fuzzing,stateful", "--mode=positive")
    assert "API Links:    0 covered" not in told
