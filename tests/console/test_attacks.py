"""What somebody from elsewhere tries against whoever is signed in, and against the sign-in."""

from __future__ import annotations

import pytest

from domain.permissions import Role
from tests.console.doorstep import PUBLIC, SITE
from workers.web.console.redirects import HOME, local_place

FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": SITE},
    {"sec-fetch-site": "", "origin": "https://evil.example"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": f"{SITE}.evil.example"},
    {"origin": "http://evil.example#@127.0.0.1"},
    {"origin": "http://[127.0.0.1"},
]


def bare(browser, method, path, headers, **options):
    """A request without the headers that our own pages' requests have."""
    return browser._run(browser._client.request(method, path, headers=headers, **options))


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_changes_nothing(doorstep, headers):
    browser = doorstep.signed_in("j.brandt", Role.ADMIN)
    refused = bare(browser, "POST", "/console/sign-out", headers, data={})

    assert refused.status_code == 403
    assert browser.is_signed_in()


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_site_signs_nobody_in(doorstep, headers):
    """Otherwise somebody would work in the attacker's account without knowing it."""
    browser, password = doorstep.browser(), doorstep.add("attacker")
    fields = {"name": "attacker", "password": password}

    assert bare(browser, "POST", "/console/sign-in", headers, data=fields).status_code == 403
    assert not browser.is_signed_in()


@pytest.mark.parametrize("headers", [{}, {"origin": SITE}, {"sec-fetch-site": "same-origin"}], ids=str)
def test_our_own_page_and_what_is_no_browser_may(doorstep, headers):
    browser = doorstep.signed_in("j.brandt")

    assert bare(browser, "POST", "/console/sign-out", headers, data={}).status_code == 303


def test_a_form_without_a_session_does_nothing_and_is_not_kept_for_later(doorstep):
    answered = doorstep.browser().post("/console/sign-out", {"reason": "none"})

    assert (answered.status_code, answered.headers["location"]) == (303, "/console/sign-in")


ELSEWHERE = [
    "https://evil.example/console/",
    "//evil.example/console/",
    "/\\evil.example",
    "\\\\evil.example",
    "/console\\..\\..\\evil",
    "/console/..//evil.example",
    "/console/../v1/invoices",
    "/console/%2e%2e/v1/invoices",
    "/console/%2E%2E%2Fv1",
    "/console//evil.example",
    "/console/%5cevil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "http:/console/",
    "/console",
    "/consolex/",
    "console/invoices",
    "",
    "/console/\nevil",
    "/console/\r\nset-cookie: a=b",
    "/console/\u202einvoices",
    "/console/" + "x" * 3000,
    "http://[::1",
    "/console/sign-out",
]


@pytest.mark.parametrize("place", ELSEWHERE, ids=repr)
def test_nobody_is_sent_elsewhere_after_signing_in(doorstep, place):
    assert local_place(place) == HOME
    browser, password = doorstep.browser(), doorstep.add("j.brandt")
    sent = browser.sign_in("j.brandt", password, next=place)
    shown = browser.get("/console/sign-in", params={"next": place})

    assert sent.headers.get("location", HOME) == HOME  # or refused for its characters
    assert shown.headers.get("location", HOME) == HOME
    assert "a" not in sent.cookies


@pytest.mark.parametrize(
    "place", ["/console/", "/console/invoices?status=paid&q=a%2Fb", "/console/invoices/inv_1#events", "/console/x~y"]
)
def test_a_page_of_ours_is_where_somebody_is_sent(place):
    assert local_place(place) == place


@pytest.mark.parametrize("value", ["x\r\nset-cookie: a=b", "%0d%0aset-cookie:%20a=b", "en\r\nx: y"])
def test_no_field_ends_up_in_a_header(doorstep, value):
    browser = doorstep.browser()
    for answered in (
        browser.get("/console/language", params={"language": value, "next": "/console/"}),
        browser.get("/console/language", params={"language": "de", "next": f"/console/{value}"}),
        browser.get("/console/invoices", params={"q": value}),
    ):
        assert answered.status_code in {303, 400}
        assert "a" not in answered.cookies
        assert "x" not in answered.headers
        assert "\n" not in answered.headers.get("location", "")


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/link", "/console/invoices", "/console/nothing"])
def test_no_page_may_be_framed_or_run_what_is_not_ours(doorstep, path):
    headers = doorstep.browser().get(path).headers

    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/link"])
def test_a_form_that_is_too_large_is_refused_before_it_is_read(doorstep, path):
    answered = doorstep.browser().post(path, {"name": "x" * 70_000, "password": "x"})

    assert answered.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"name": "a"}', "application/json", 415),
        (b"name=a&password=b", "text/plain", 415),
        (b"name=a&name=b&password=c", "application/x-www-form-urlencoded", 400),
        (b"name=\xff&password=c", "application/x-www-form-urlencoded", 400),
        (b"name=a", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % number for number in range(300)), "application/x-www-form-urlencoded", 400),
        (b"name=a&password=b&role=admin", "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_of_ours_is_refused(doorstep, content, kind, status):
    browser = doorstep.browser()
    answered = browser.ask("POST", "/console/sign-in", content=content, headers={"content-type": kind})

    assert answered.status_code == status


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/link", "/console/invoices"])
@pytest.mark.parametrize("query", ["&".join(["a"] * 15_000), "&".join(f"{number:x}=" for number in range(5_000))])
def test_an_address_of_thousands_of_parameters_holds_nobody_up(doorstep, path, query):
    """Comparing each with each took a loop that serves everybody 20 s, and nobody had to sign in for it."""
    browser = doorstep.signed_in("j.brandt") if path == "/console/invoices" else doorstep.browser()
    answered = browser.get(f"{path}?{query}")

    assert answered.status_code == 400
    assert "It has too many parameters." in answered.text


@pytest.mark.parametrize("place", ["http://[x", "//evil.example/console/", "/v1/invoices", "/console/sign-in", ""])
def test_nothing_but_a_page_that_goes_on_by_itself_is_watched(doorstep, place):
    browser = doorstep.signed_in("j.brandt", Role.ADMIN)

    assert browser.get("/console/live", params={"of": place}).status_code == 404


@pytest.mark.parametrize("secret", ["", "x", "'; drop table console_session; --", "a" * 43, "\x00", "é" * 20])
def test_a_made_up_session_is_nobodys(doorstep, secret):
    browser = doorstep.browser()
    sent = {"cookie": f"invoices-session={secret}".encode("latin-1", "replace"), "sec-fetch-site": "same-origin"}

    assert bare(browser, "GET", "/console/invoices", sent).status_code == 303


def test_on_https_a_cookie_without_the_prefix_counts_for_nothing(doorstep):
    """Another host of the same domain, or plain http, can plant one without it."""
    browser = doorstep.signed_in("j.brandt", site=PUBLIC)
    secret = browser.cookies["__Host-invoices-session"]
    planted = {"cookie": f"invoices-session={secret}"}

    assert browser.is_signed_in()
    assert bare(doorstep.browser(PUBLIC), "GET", "/console/invoices", planted).status_code == 303


@pytest.mark.parametrize("language", ["fr", "", "../de", "de; path=/"])
def test_a_language_that_there_is_not_is_refused(doorstep, language):
    assert doorstep.browser().get("/console/language", params={"language": language}).status_code == 400


def test_the_language_is_kept_and_the_page_comes_again(doorstep):
    browser = doorstep.browser()
    back = {"language": "de", "next": "/console/sign-in?next=%2Fconsole%2Finvoices"}
    chosen = browser.get("/console/language", params=back)

    assert (chosen.status_code, chosen.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole%2Finvoices")
    assert "Bei invoices anmelden" in browser.get("/console/sign-in").text
