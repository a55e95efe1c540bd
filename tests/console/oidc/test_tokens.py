"""Signing in by an issuer's word, with a stand-in for the issuer: what is right, and all that is forged or broken."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time

import httpx
import pytest
from starlette.responses import JSONResponse

from tests.console.doorstep import PUBLIC
from tests.console.oidc.way import BACK, begin
from tests.console.stand_in_issuer import CLIENT_ID, ISSUER, KEY, NEXT_KEY, OTHER_KEY, SECRET
from workers.delivery.secretbox import SecretBox, new_key
from workers.store.reads.acts import act_fields, list_acts
from workers.web.console.client import Client
from workers.web.console.issuer import Issuer


def urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def coded(header: dict[str, str]) -> str:
    return urlsafe(json.dumps(header).encode())


def test_whoever_the_issuer_knows_with_a_role_of_ours_is_signed_in(browser, issuer, doorstep):
    form = browser.get("/console/sign-in?next=%2Fconsole%2Finvoices%3Fstatus%3Dpaid")
    assert "Sign in with id.example" in form.text
    back = begin(browser, issuer, next="/console/invoices?status=paid")
    came = browser.get(BACK, params=back)

    assert (came.status_code, came.headers["location"]) == (303, "/console/invoices?status=paid")
    assert "j.brandt · operator" in browser.get("/console/invoices").text
    assert "__Host-invoices-sign-in" not in browser.cookies
    (act,) = [act_fields(act) for act in list_acts(doorstep.store.database)]
    assert act["after"] == {"person": "j.brandt", "role": "operator", "way": "oidc", "subject": "user-7"}


def test_what_goes_to_the_issuer_is_bound_to_this_sign_in(browser, issuer):
    back = begin(browser, issuer)
    sent = issuer.sent

    assert sent["tenant"] == "7"
    assert {name: sent[name] for name in ("response_type", "client_id", "redirect_uri", "scope")} == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{PUBLIC}{BACK}",
        "scope": "openid profile email",
    }
    assert sent["code_challenge_method"] == "S256"
    assert len({sent["state"], sent["nonce"], sent["code_challenge"]}) == 3
    assert browser.get(BACK, params=back).status_code == 303
    (token_request,) = [request for path, request in issuer.asked if path == "/token"]
    pair = base64.b64decode(token_request.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "invoices:client-s%25cret"
    assert issuer.token_fields["redirect_uri"] == [f"{PUBLIC}{BACK}"]
    assert sent["state"] not in str(issuer.token_fields)


def test_a_secret_goes_in_the_body_where_the_issuer_takes_it_only_there(browser, issuer):
    issuer.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert (issuer.token_fields["client_secret"], issuer.token_fields["client_id"]) == ([SECRET], [CLIENT_ID])


CLAIMS = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "another"},
    "no audience": {"aud": None},
    "several audiences without saying who asked": {"aud": [CLIENT_ID, "another"]},
    "asked for by another": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "another sign-in's": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "over": {"exp": 1_000_000_000},
    "no end": {"exp": None},
    "an end that is none": {"exp": "soon"},
    "not yet": {"nbf": 4_000_000_000},
    "from the future": {"iat": 4_000_000_000},
    "no subject": {"sub": None},
    "a subject that is none": {"sub": 7},
    "another access token's": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_a_token_that_does_not_prove_it_signs_nobody_in(browser, issuer, claims):
    back = begin(browser, issuer)
    issuer.claims |= claims
    refused = browser.get(BACK, params=back)

    assert refused.status_code == 403
    assert "could not be trusted" in refused.text
    assert not browser.is_signed_in()


def test_a_signature_of_another_key_counts_for_nothing(browser, issuer):
    issuer.key = OTHER_KEY
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 403
    assert not browser.is_signed_in()


@pytest.mark.parametrize("secret", [KEY.as_pem(private=False), SECRET.encode()], ids=["public key", "client's secret"])
def test_a_shared_secret_is_no_signature(browser, issuer, secret):
    """The classic: what everybody knows, or what we know, taken as the key of an HMAC."""
    back = begin(browser, issuer)
    body = issuer.id_token().split(".")[1]
    signed = f"{coded({'alg': 'HS256', 'kid': 'one'})}.{body}"
    signature = urlsafe(hmac.digest(secret, signed.encode(), "sha256"))
    issuer.answers["token"] = JSONResponse({"access_token": "x", "id_token": f"{signed}.{signature}"})

    assert browser.get(BACK, params=back).status_code == 403
    assert not browser.is_signed_in()


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "None"}, {"alg": "RS256", "kid": "one"}], ids=str)
def test_no_signature_is_none(browser, issuer, header):
    back = begin(browser, issuer)
    unsigned = f"{coded(header)}.{issuer.id_token().split('.')[1]}."
    issuer.answers["token"] = JSONResponse({"access_token": "x", "id_token": unsigned})

    assert browser.get(BACK, params=back).status_code == 403
    assert not browser.is_signed_in()


def test_a_key_that_is_missing_is_looked_for_again_but_not_with_every_token_that_makes_one_up(issuer):
    now = [1000.0]
    http = httpx.AsyncClient(transport=issuer.transport)
    asked = Issuer(Client(ISSUER, CLIENT_ID, SECRET, "roles"), http, lambda: now[0])

    async def ask():
        for seconds, anew in ((0, False), (1, True), (29, True), (1, True), (500, False), (101, False)):
            now[0] += seconds
            await asked.keys(anew=anew)
            counts.append(sum(path == "/keys" for path, _ in issuer.asked))
        await asked.close()

    counts: list[int] = []
    asyncio.run(ask())
    assert counts == [1, 1, 1, 2, 2, 3]


def test_a_token_of_another_kind_of_key_is_right_where_it_is_published(browser, issuer):
    issuer.key, issuer.kid, issuer.alg = NEXT_KEY, "two", "ES256"
    issuer.published = [KEY, NEXT_KEY]
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303


@pytest.mark.parametrize(
    "change",
    [
        lambda back: back | {"state": "another"},
        lambda back: {"code": back["code"]},
        lambda back: {"state": back["state"], "code": ""},
        lambda back: {"state": back["state"]},
        lambda back: back | {"code": "another"},
        lambda back: back | {"code": "x" * 5000},
        lambda back: back | {"iss": "https://evil.example"},
        lambda back: {"state": back["state"], "error": "access_denied", "error_description": "<script>alert(1)"},
    ],
)
def test_an_answer_that_is_not_the_one_to_this_sign_in_signs_nobody_in(browser, issuer, change):
    refused = browser.get(BACK, params=change(begin(browser, issuer)))

    assert refused.status_code in {400, 403}
    assert "<script>alert" not in refused.text
    assert "Try again" in refused.text
    assert not browser.is_signed_in()


def test_an_answer_in_another_browser_signs_nobody_in(doorstep, browser, issuer):
    """Login CSRF: the attacker's own code, sent to somebody else."""
    back = begin(browser, issuer)
    other = doorstep.browser(PUBLIC)

    assert other.get(BACK, params=back).status_code == 400
    begin(other, issuer)
    assert other.get(BACK, params=back).status_code == 400
    assert not other.is_signed_in()


def test_an_answer_counts_once_and_for_ten_minutes(doorstep, browser, issuer, box):
    back = begin(browser, issuer)
    kept = browser.cookies["__Host-invoices-sign-in"]
    assert browser.get(BACK, params=back).status_code == 303
    assert browser.get(BACK, params=back).status_code == 400

    attempt = json.loads(box.open(kept))
    for at in (time.time() - 601, time.time() + 60):
        other = doorstep.browser(PUBLIC)
        sealed = box.seal(json.dumps(attempt | {"at": at}))
        other.cookies.set("__Host-invoices-sign-in", sealed, domain="pay.example", path="/")
        assert other.get(BACK, params=back).status_code == 400


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", SecretBox([new_key()]).seal("{}"), "é"], ids=range(5))
def test_what_a_browser_made_up_itself_begins_nothing(doorstep, sealed):
    browser = doorstep.browser(PUBLIC)
    headers = {"cookie": f"__Host-invoices-sign-in={sealed}".encode("latin-1", "replace")}

    assert browser.get(BACK, params={"state": "", "code": "x"}, headers=headers).status_code == 400


def test_the_issuer_must_name_itself_where_it_says_that_it_does(browser, issuer):
    issuer.document = {"authorization_response_iss_parameter_supported": True}
    back = begin(browser, issuer)
    assert browser.get(BACK, params=back).status_code == 403
    back = begin(browser, issuer)
    assert browser.get(BACK, params=back | {"iss": ISSUER}).status_code == 303


def test_a_long_way_to_come_back_to_is_left_out_of_the_cookie(browser, issuer):
    back = begin(browser, issuer, next="/console/invoices?q=" + "x" * 1500)
    assert len(browser.cookies["__Host-invoices-sign-in"]) < 3000
    assert browser.get(BACK, params=back).headers["location"] == "/console/"
