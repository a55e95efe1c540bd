"""Who may ask the sandbox: programs that call it by its own address; no web page, under no name of its own."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.contracts.sandbox_client import create_zeroxhost, new_id, send
from workers.embedded.sandbox.process import SandboxProcess


@pytest.fixture(scope="module")
def sandbox():
    with SandboxProcess("--allow-host", "Sandbox.Internal") as process:
        yield process


def asked(sandbox, path, **headers):
    """The status of a request with such headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(f"{sandbox.url}{path}", headers=named)[0]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8410",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "203.0.113.7",
        "10.0.0.1:8410",
        "[2606:2800:21f::1]:8410",
        "[::1",
        "0",
    ],
)
@pytest.mark.parametrize("path", ["/control/invoices", "/control/calls", "/receiver/shop/events", "/"])
def test_the_control_address_does_not_answer_to_a_foreign_name(sandbox, host, path):
    assert asked(sandbox, path, Host=host) in {400, 421}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8410", "LOCALHOST:1", "[::1]:8410", "sandbox.internal:8410"])
def test_it_answers_to_its_own(sandbox, host):
    assert asked(sandbox, "/control/invoices", Host=host) == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "http://203.0.113.7", "null", ""])
@pytest.mark.parametrize("path", ["/control/invoices", "/receiver/shop/events", "/nebulox/api/invoice/create"])
def test_no_web_page_is_answered(sandbox, origin, path):
    assert asked(sandbox, path, Origin=origin) == 403


def test_a_page_that_posts_a_form_changes_nothing(sandbox):
    made = create_zeroxhost(sandbox, new_id())[1]["data"]
    body = json.dumps({"provider": "zeroxhost", "id": made["track_id"]}).encode()
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        status, _, _ = send(f"{sandbox.control_url}/pay", body, headers={"content-type": "text/plain"} | headers)
        assert status in {403, 421}
    listed = json.loads(send(f"{sandbox.control_url}/invoices")[1])
    assert '"paid"' not in json.dumps(listed)


def test_its_own_page_is_answered(sandbox):
    own = f"http://{urlsplit(sandbox.url).netloc}"
    assert asked(sandbox, "/control/invoices", Origin=own, Sec_Fetch_Site="same-origin") == 200


def test_providers_and_webhooks_are_called_by_any_name_that_leads_here(sandbox):
    assert asked(sandbox, "/zeroxhost/API/invoices", Host="sandbox.test") not in {403, 421}
    status, _, _ = send(f"{sandbox.receiver_url('shop')}", b"{}", headers={"Host": "hooks.test"})
    assert status not in {403, 421}
