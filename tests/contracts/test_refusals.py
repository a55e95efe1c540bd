"""What fails an order for good, and what only keeps it waiting: one contract for every provider."""

from __future__ import annotations

import httpx
import pytest

from domain.evidence import CredentialsRefused, InDoubt, OrderRefused, ProviderRefused, Seen, Unreadable
from tests.contracts.made_up import EVERY
from tests.contracts.provider_cases import CASES, PLAIN_KEY, create_recorded, look_up_recorded
from workers.providers.refusal import NOT_OF_THE_ORDER

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)

NGINX = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n"
CHALLENGE = '<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head><body>cf-chl</body></html>'
NOT_THE_PROVIDERS = {
    "a page": NGINX,
    "an empty body": "",
    "white space": " \n",
    "a text": "no healthy upstream",
    "null": "null",
    "a list": "[]",
    "an empty object": "{}",
    "a gateway's message": '{"message": "no Route matched with those values"}',
    "a gateway's error": '{"error": "invalid_host"}',
    "problem+json": '{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "no"}',
    "half of the provider's shape": '{"result": [], "success": false, "data": []}',
    "a message that is none": '{"message": {"a": 1}, "result": [], "success": false, "data": []}',
    "cut": '{"success": false, "message": "User not found", "result": [], "da',
}


def answer(status, body, **headers):
    return httpx.Response(status, headers={name.replace("_", "-"): text for name, text in headers.items()}, text=body)


@ALL
@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_refusal_that_can_be_read_fails_the_order(case, status):
    evidence, _ = create_recorded(case, (status, case.refused[1]))
    assert isinstance(evidence, OrderRefused)
    assert evidence.reason.split(": ")[1] in {"price must be positive", "User not found"}


@ALL
@pytest.mark.parametrize("body", NOT_THE_PROVIDERS.values(), ids=NOT_THE_PROVIDERS)
def test_a_4xx_that_is_not_the_providers_own_says_nothing_of_the_order(case, body):
    for status in (400, 402, 403, 404, 405, 409, 410, 413, 418, 421, 422, 425, 428, 431, 451, 499):
        evidence, _ = create_recorded(case, (status, body))
        if status == 403 and body == NOT_THE_PROVIDERS["a gateway's message"]:
            assert isinstance(evidence, CredentialsRefused)  # a 403 that gives its reason in JSON: waits just the same
        else:
            assert isinstance(evidence, ProviderRefused), status
            assert evidence.reason.startswith(f"HTTP {status}: ")


@ALL
@pytest.mark.parametrize("status", sorted(NOT_OF_THE_ORDER - {406}))
def test_some_statuses_never_speak_of_the_order_in_whatever_words(case, status):
    evidence, _ = create_recorded(case, (status, case.refused[1]))
    assert isinstance(evidence, ProviderRefused)


@ALL
@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_that_is_not_followed_reached_nobody(case, status):
    evidence, requests = create_recorded(case, answer(status, "", location="https://elsewhere.test/"))
    assert isinstance(evidence, ProviderRefused)
    assert evidence.reason == f"HTTP {status}: the address redirects elsewhere: is base_url right?"
    assert len(requests) == 1


@ALL
def test_the_reason_says_what_answered_and_where_to_look(case):
    evidence, _ = create_recorded(case, (404, NGINX))
    assert evidence.reason == ('HTTP 404: a web page "404 Not Found", not the provider\'s API: is base_url right?')
    assert evidence.raw == NGINX


@ALL
def test_a_page_that_quotes_the_key_is_kept_without_it(case):
    evidence, _ = create_recorded(case, (404, f"<html><title>no {PLAIN_KEY}</title>{PLAIN_KEY}</html>"))
    assert isinstance(evidence, ProviderRefused)
    assert PLAIN_KEY not in repr(evidence)


# ------------------------------------------------------------------------------------------------ the key


@ALL
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_say_nothing_about_the_order(case, status):
    evidence, _ = create_recorded(case, (status, '{"message": "This gateway is not active", "result": []}'))
    assert isinstance(evidence, CredentialsRefused)
    assert evidence.reason == f"HTTP {status}: This gateway is not active"


def test_406_is_nebuloxs_word_for_an_inactive_gateway_and_nobody_elses():
    said = (406, '{"message": "This gateway is not active", "result": [], "success": false}')
    assert isinstance(create_recorded(CASES["nebulox"], said)[0], CredentialsRefused)
    assert isinstance(create_recorded(CASES["zeroxhost"], said)[0], ProviderRefused)


@ALL
@pytest.mark.parametrize("body", ["", "{}", "Unauthorized", '{"error": "Unauthorized"}', '{"title": "Unauthorized"}'])
def test_401_is_about_the_key_in_whatever_words(case, body):
    assert isinstance(create_recorded(case, (401, body))[0], CredentialsRefused)


@ALL
@pytest.mark.parametrize(
    "given",
    [
        answer(403, CHALLENGE),
        answer(403, CHALLENGE, cf_ray="8f1", content_type="text/html"),
        answer(403, '{"message": "verify"}', cf_mitigated="challenge"),
        answer(403, "<html><head><title>Attention Required! | Cloudflare</title></head></html>"),
        answer(403, "<html><title>403 Forbidden</title></html>"),
        answer(403, '{"type": "x", "title": "Error 1020", "message": "no"}', content_type="application/problem+json"),
        answer(403, ""),
        answer(401, "<html><title>401 Authorization Required</title></html>"),
        answer(401, "", www_authenticate='Basic realm="staging"'),
        answer(503, CHALLENGE),
        answer(503, "{}", cf_mitigated="challenge"),
    ],
)
def test_what_keeps_everybody_out_is_no_wrong_key(case, given):
    evidence, _ = create_recorded(case, given)
    assert isinstance(evidence, ProviderRefused)


@ALL
@pytest.mark.parametrize("body", ["<html><title>503</title>our captcha is down</html>", "Just a moment", "{}"])
def test_a_5xx_that_is_no_challenge_stays_in_doubt(case, body):
    assert isinstance(create_recorded(case, (503, body))[0], InDoubt)


def test_a_firewall_that_answers_406_with_a_page_is_no_inactive_gateway():
    body = "<head><title>Not Acceptable!</title></head>by Mod_Security"
    assert isinstance(create_recorded(CASES["nebulox"], (406, body))[0], ProviderRefused)


# ------------------------------------------------------------------------------------------------ look-ups


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 406, 410, 451])
@pytest.mark.parametrize("body", [NGINX, CHALLENGE, "", "{}"], ids=["page", "challenge", "empty", "object"])
def test_a_look_up_that_is_turned_away_is_no_news_of_the_invoice_and_none_of_the_account(status, body):
    answers, _ = look_up_recorded(CASES["zeroxhost"], ["1"], (status, body))
    assert isinstance(answers["1"], Unreadable)


def test_a_look_up_that_does_not_say_which_invoice_it_is_about_is_not_bound():
    for row in ('{"status": "Paid"}', '{"status": "Paid", "track_id": null}', '{"status": "Paid", "track_id": ""}'):
        answers, _ = look_up_recorded(CASES["zeroxhost"], ["7"], (200, f'{{"success": true, "data": {row}}}'))
        assert isinstance(answers["7"], Unreadable)


@pytest.mark.parametrize("echo", ["7", '"7"', "7.0", '" 7 "'])
def test_a_look_up_may_write_its_reference_as_a_number(echo):
    body = f'{{"success": true, "data": {{"status": "Paid", "track_id": {echo}}}}}'
    answers, _ = look_up_recorded(CASES["zeroxhost"], ["7"], (200, body))
    assert isinstance(answers["7"], Seen)
