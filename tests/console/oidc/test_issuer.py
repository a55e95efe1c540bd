"""What an issuer says of itself, and an issuer that is away."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from tests.console.doorstep import PUBLIC
from tests.console.oidc.way import BACK, begin
from tests.console.stand_in_issuer import CLIENT_ID, ISSUER, SECRET
from workers.web.console.client import Client
from workers.web.console.issuer import Issuer, IssuerAway

AWAY = {
    "nothing": httpx.ConnectError("refused"),
    "too late": httpx.ReadTimeout("late"),
    "an error": PlainTextResponse("no", 500),
    "no JSON": PlainTextResponse("<html>"),
    "a list": JSONResponse([]),
    "without end": PlainTextResponse("x" * 300_000),
    "elsewhere": RedirectResponse("https://evil.example/"),
}


@pytest.mark.parametrize("step", ["openid-configuration", "token", "keys"])
@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY)
def test_an_issuer_that_is_away_is_told_as_such_and_asked_again(browser, issuer, doorstep, step, answer):
    issuer.answers[step] = answer
    if step == "openid-configuration":
        refused = browser.get("/console/sign-in/oidc")
    else:
        refused = browser.get(BACK, params=begin(browser, issuer))
    assert refused.status_code == 503
    assert "The sign-in service does not answer" in refused.text

    issuer.answers.clear()
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert browser.is_signed_in()


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"{ISSUER}/"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://id.example/token"},
        {"jwks_uri": None},
        {"token_endpoint": "https://id.example/\r\ntoken"},
    ],
)
def test_a_document_of_another_issuer_or_with_unsafe_addresses_is_not_used(browser, issuer, document):
    issuer.document = document
    assert browser.get("/console/sign-in/oidc").status_code == 503


def test_a_page_elsewhere_is_not_where_somebody_is_sent(browser, issuer):
    back = begin(browser, issuer, next="https://evil.example/")
    assert browser.get(BACK, params=back).headers["location"] == "/console/"


def test_the_issuers_documents_are_read_once(browser, issuer):
    for _ in range(3):
        assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
        browser.post("/console/sign-out")
    paths = [path for path, _ in issuer.asked]
    assert (paths.count("/realms/shop/.well-known/openid-configuration"), paths.count("/keys")) == (1, 1)


def test_codes_that_are_made_up_are_limited_for_each_address(doorstep, issuer):
    statuses = []
    for _ in range(22):
        browser = doorstep.browser(PUBLIC, address="10.7.7.7")
        statuses.append(browser.get(BACK, params=begin(browser, issuer) | {"code": "made up"}).status_code)
    assert statuses == [403] * 20 + [429] * 2


def test_all_who_wait_for_an_issuer_that_is_away_are_told_at_once():
    """Ten seconds each, one after the other, would take all connections of the process."""
    asked = []

    async def answer(request):
        asked.append(request)
        await asyncio.sleep(0)
        raise httpx.ConnectError("gone")

    async def go():
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        issuer = Issuer(Client(ISSUER, CLIENT_ID, SECRET, "roles"), http)
        many = await asyncio.gather(*(issuer.places() for _ in range(100)), return_exceptions=True)
        once_more = await asyncio.gather(issuer.places(), return_exceptions=True)
        await issuer.close()
        return [*many, *once_more]

    told = asyncio.run(go())

    assert {type(one) for one in told} == {IssuerAway}
    assert len(asked) == 2
