"""Signing in by an issuer's word, with a stand-in for the issuer: what is right, and all that is forged or broken."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from domain.permissions import Role
from tests.console.doorstep import PUBLIC, Doorstep
from tests.console.stand_in_issuer import CLIENT_ID, ISSUER, KEY, NEXT_KEY, OTHER_KEY, SECRET, StandInIssuer
from workers.delivery.secretbox import SecretBox, new_key
from workers.store.reads.acts import act_fields, list_acts
from workers.web.console.entrance import IssuersWord
from workers.web.console.gate import Doors
from workers.web.console.id_token import find_claim, name_of, role_of
from workers.web.console.issuer import Client, Issuer, IssuerAway

BACK = "/console/sign-in/oidc/back"


@pytest.fixture
def issuer():
    return StandInIssuer()


@pytest.fixture
def box():
    return SecretBox([new_key()])


@pytest.fixture
def doorstep(store, issuer, box):
    """The console on a public address that has an issuer."""
    client = Client(ISSUER, CLIENT_ID, SECRET, "roles")
    word = IssuersWord(client, lambda: box, PUBLIC, issuer.transport)
    doorstep = Doorstep(store, Doors(is_public=True, issuer=client.host), word=word)
    yield doorstep
    doorstep.close()


@pytest.fixture
def browser(doorstep):
    return doorstep.browser(PUBLIC)


def begin(browser, issuer, **query):
    """To the issuer; what it sends back with."""
    went = browser.get("/console/sign-in/oidc", params=query)
    assert went.status_code == 303, went.text
    return issuer.authorize(went.headers["location"])


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


@pytest.mark.parametrize("roles", [[], ["owner"], "superuser", None, 7, {"admin": True}, [["admin"]]], ids=repr)
def test_whoever_has_no_role_of_ours_is_told_so(browser, issuer, roles):
    issuer.claims |= {"roles": roles}
    refused = browser.get(BACK, params=begin(browser, issuer))

    assert refused.status_code == 403
    assert "You have no role here" in refused.text
    assert not browser.is_signed_in()


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        (["viewer", "finance", "operator"], Role.FINANCE),
        (["Admin", "viewer"], Role.ADMIN),
        ("viewer operator", Role.OPERATOR),
        ("viewer,other", Role.VIEWER),
        ("viewers", None),
        (["administrator"], None),
        (None, None),
    ],
)
def test_the_highest_role_counts(claim, role):
    assert role_of(claim) is role


def test_a_claim_is_found_by_its_name_or_by_the_points_in_it():
    claims = {"realm_access": {"roles": ["admin"]}, "https://pay.example/roles": ["viewer"], "a.b": 1, "a": {"b": 2}}

    assert find_claim(claims, "realm_access.roles") == ["admin"]
    assert find_claim(claims, "https://pay.example/roles") == ["viewer"]
    assert find_claim(claims, "a.b") == 1
    assert find_claim(claims, "realm_access.roles.x") is None


def test_roles_come_from_userinfo_where_the_token_has_none(browser, issuer):
    issuer.claims = {"roles": None}
    issuer.info = {"roles": ["finance"], "preferred_username": "m.okafor"}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert "m.okafor · finance" in browser.get("/console/invoices").text


def test_userinfo_about_somebody_else_counts_for_nothing(browser, issuer):
    issuer.claims = {"roles": None}
    issuer.info = {"sub": "another", "roles": ["admin"]}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 403
    assert not browser.is_signed_in()


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "j.brandt", "email": "j@example.net"}, "j.brandt"),
        ({"preferred_username": " ", "email": "j@example.net"}, "j@example.net"),
        ({"preferred_username": "a\u202eb", "sub": "7"}, "7"),
        ({"preferred_username": ["x"], "sub": "7"}, "7"),
        ({"sub": "\x00"}, "somebody"),
        ({"preferred_username": "\ufdfa" * 100, "sub": "7"}, "7"),  # 1800 letters to tell names apart by
        ({"sub": "x" * 300}, "x" * 100),
    ],
)
def test_the_name_is_the_first_that_can_be_shown(claims, name):
    assert name_of(claims) == name


def test_a_name_is_text(browser, issuer):
    issuer.claims |= {"preferred_username": "<img src=x onerror=alert(1)>"}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert "<img src=x" not in browser.get("/console/invoices").text


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


def test_a_long_way_to_come_back_to_is_left_out_of_the_cookie(browser, issuer):
    back = begin(browser, issuer, next="/console/invoices?q=" + "x" * 1500)
    assert len(browser.cookies["__Host-invoices-sign-in"]) < 3000
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
