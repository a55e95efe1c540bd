"""Signing in by a real issuer's word: npm's `@mongodb-js/oidc-mock-provider`, the real web process, cookies."""

from __future__ import annotations

import json
import os
import re
import shutil

import httpx
import pytest

from tests.contracts.web_process import Site
from tests.servers import Server, free_port, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PERSON = {"sub": "user-7", "preferred_username": "ola.nordmann", "realm": {"roles": ["viewer", "finance"]}}


class Provider:
    """The issuer, as a process."""

    def __init__(self, home, payload):
        path = shutil.which("oidc-mock-provider")
        if path is None:
            pytest.skip("no oidc-mock-provider on the PATH: `.ci/engines` installs it where npm is")
        port = free_port()
        command = [path, "--port", str(port), "--payload", json.dumps(payload)]
        self.url = f"http://localhost:{port}"
        self.process = Server(command, home / "provider.log", dict(os.environ))
        wait_until(self._answers, "the issuer answers")

    def _answers(self):
        try:
            return httpx.get(f"{self.url}/jwks", timeout=60, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def provider(tmp_path):
    """One that knows somebody of finance."""
    provider = Provider(tmp_path, PERSON)
    yield provider
    provider.process.end()


@pytest.fixture
def site(tmp_path, provider, database_url):
    """A web process that believes it."""
    site = Site(
        tmp_path,
        database_url,
        INVOICES_OIDC_ISSUER=provider.url,
        INVOICES_OIDC_CLIENT_ID="invoices",
        INVOICES_OIDC_CLIENT_SECRET="a-client-secret",
        INVOICES_OIDC_ROLES_CLAIM="realm.roles",
    )
    yield site
    site.close()


@pytest.fixture
def browser(site):
    """Keeps cookies; is not redirected by itself."""
    with httpx.Client(base_url=site.web.url, timeout=60, trust_env=False) as client:
        yield client


def to_issuer_and_back(browser, place="/console/invoices"):
    """Where the issuer sends the browser back to."""
    went = browser.get("/console/sign-in/oidc", params={"next": place}).headers["location"]
    return httpx.get(went, timeout=60, trust_env=False).headers["location"]


def test_somebody_of_the_issuers_comes_in_with_their_role(browser, site):
    assert re.search(r"Sign in with localhost:\d+", browser.get("/console/sign-in").text)
    came = browser.get(to_issuer_and_back(browser))

    assert (came.status_code, came.headers["location"]) == (303, "/console/invoices")
    assert "ola.nordmann · finance" in browser.get("/console/invoices").text
    (known,) = site.invoices("users", "list", "--json")
    assert (known["name"], known["role"], known["password"]) == ("ola.nordmann", "finance", False)
    site.invoices("users", "end-sessions", "ola.nordmann", "--json")
    assert browser.get("/console/invoices").status_code == 303
    assert "a-client-secret" not in site.web.log.read_text()


def test_a_code_is_worth_nothing_in_another_browser_or_without_what_began_it(browser, site):
    back = to_issuer_and_back(browser)
    with httpx.Client(base_url=site.web.url, timeout=60, trust_env=False) as other:
        assert other.get(back).status_code == 400
    assert browser.get(back.replace("state=", "state=x")).status_code == 400
    assert browser.get("/console/invoices").status_code == 303


def test_an_issuer_that_has_gone_is_told_as_such(browser, provider):
    back = to_issuer_and_back(browser)
    provider.process.end()
    refused = browser.get(back)

    assert refused.status_code == 503
    assert "The sign-in service does not answer" in refused.text
