"""Who may do what: each page and each form of the console against everybody who may ask for it.

A route that is missing in the table fails. Pages of the sign-in have tests of their own.
"""

from __future__ import annotations

import re

import pytest

from domain.permissions import Role
from tests.console.ground import Ground
from tests.console.pages import PAGES, address
from workers.store.reads.acts import list_acts

LET_IN, REFUSED, SIGN_IN = "let in", "refused", "to the sign-in"
NOBODY = "nobody"
ROLES = [role.value for role in Role]

#: By who may: nobody has to sign in; everybody who has; whoever may do anything; operators and admins; finance
#: and admins; admins.
TABLE = {
    "open": """
        GET /
        GET /console
        GET /console/static/{name}
        GET /console/language
    """,
    "viewer operator finance admin": """
        GET /console/
        GET /console/accounts
        GET /console/accounts/{name}
        GET /console/audit
        GET /console/audit.csv
        GET /console/audit.jsonl
        GET /console/contradictions
        GET /console/deliveries
        GET /console/deliveries/{id}
        GET /console/doubts
        GET /console/endpoints
        GET /console/endpoints/{id}
        GET /console/invoices
        GET /console/invoices.csv
        GET /console/invoices/{id}
        GET /console/invoices/{id}/raw/{kind}/{number}
        GET /console/jobs
        GET /console/jobs/{id}
        GET /console/jobs/{id}/failures
        GET /console/jobs/{id}/failures.jsonl
        GET /console/live
        GET /console/rejected
        GET /console/rejected/{id}
        GET /console/search
        GET /console/unmatched
        GET /console/unmatched/{id}
        GET /console/{rest:path}
    """,
    "operator finance admin": """
        POST /console/jobs
        GET /console/jobs/new
        POST /console/jobs/{id}/pause
        POST /console/jobs/{id}/resume
        POST /console/jobs/{id}/stop
    """,
    "operator admin": """
        POST /console/deliveries/{id}/replay
        POST /console/doubts/create-again
        GET /console/endpoints/add
        POST /console/endpoints/add
        POST /console/endpoints/{id}/disable
        POST /console/endpoints/{id}/enable
        POST /console/endpoints/{id}/remove
        GET /console/endpoints/{id}/replay
        POST /console/endpoints/{id}/replay
        POST /console/endpoints/{id}/rotate
        POST /console/endpoints/{id}/test
        POST /console/invoices/{id}/cancel
        POST /console/invoices/{id}/create-again
        POST /console/invoices/{id}/recheck
        POST /console/invoices/{id}/replay
        POST /console/rejected/send-again
        POST /console/unmatched/{id}/dismiss
        POST /console/unmatched/{id}/link
    """,
    "finance admin": """
        POST /console/invoices/{id}/mark
    """,
    "admin": """
        GET /console/people
        GET /console/people/add
        POST /console/people/add
        POST /console/people/end-sessions
        GET /console/people/tokens/add
        POST /console/people/tokens/add
        GET /console/people/tokens/{id}
        POST /console/people/tokens/{id}/revoke
        GET /console/people/{id}
        POST /console/people/{id}/end-sessions
        POST /console/people/{id}/password
        POST /console/people/{id}/remove
        POST /console/people/{id}/role
        GET /console/settings
    """,
}
WHO = {line.strip(): who for who, lines in TABLE.items() for line in lines.strip().splitlines()}
#: What a viewer may send: no more than to leave.
HARMLESS = {"/console/sign-out"}


@pytest.fixture(scope="module")
def ground(lasting_scene):
    """One for all of these: nothing that they do changes anything."""
    ground = Ground(lasting_scene)
    yield ground
    ground.close()


def routes_of(ground):
    """Each as the table has it."""
    methods = ((method, route.path) for route in ground.served.routes for method in route.methods)
    return sorted(f"{method} {path}" for method, path in methods if method != "HEAD")


def place_of(pattern, scene):
    """Where a form is of something that is there."""
    page = pattern if pattern in PAGES else pattern.rpartition("/")[0]
    return address(page, scene).partition("?")[0] + pattern.removeprefix(page)


def answered(ground, route, role, place, **more):
    """In one word."""
    method, _, _ = route.partition(" ")
    options = {"data": {"reason": ""}} if method == "POST" else {}
    answer = ground.ask(method, place, role, **options, **more)
    if answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in"):
        return SIGN_IN
    assert answer.status_code < 500, answer.text
    return REFUSED if answer.status_code == 403 else LET_IN


def forged(pattern):
    """An address of nothing there is."""
    return re.sub(r"\{[^}]*\}", "0190", pattern)


def test_every_route_is_in_the_table(ground):
    assert set(routes_of(ground)) == set(WHO), "say in TABLE who may use the new page or form"


@pytest.mark.parametrize("role", [NOBODY, *ROLES])
def test_each_may_what_the_table_says(ground, role):
    """Addresses of nothing there is: who may is asked first, and nothing changes for those who may."""
    expected = {
        route: LET_IN if who == "open" or role in who.split() else SIGN_IN if role == NOBODY else REFUSED
        for route, who in WHO.items()
    }
    assert {route: answered(ground, route, role, forged(route.partition(" ")[2])) for route in WHO} == expected


@pytest.mark.parametrize("pattern", PAGES)
@pytest.mark.parametrize("role", ["viewer", "finance", "operator"])
def test_no_page_shows_a_form_that_its_reader_may_not_send(ground, pattern, role):
    page = ground.get(address(pattern, ground.scene), role=role)
    forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', page.text)
    forms += re.findall(r'formaction="([^"]*)"', page.text)

    sent = [form for form in forms if form not in HARMLESS]
    assert role != "viewer" or sent == []
    refused = [form for form in sent if answered(ground, "POST ", role, form.partition("?")[0]) == REFUSED]
    assert refused == []


ONE_THING = [pattern for pattern in PAGES if "{" in pattern and not pattern.startswith("/console/people")]


@pytest.mark.parametrize("pattern", ONE_THING)
def test_another_accounts_thing_is_not_there(ground, pattern):
    place = address(pattern, ground.scene)

    assert ground.get(place).status_code == 200
    assert ground.get(place, accounts="somebody-elses").status_code == 404


FORMS = [route.removeprefix("POST ") for route in WHO if route.startswith("POST") and "{" in route]


@pytest.mark.parametrize("pattern", FORMS)
def test_another_accounts_thing_can_not_be_changed(ground, pattern):
    before = len(list(list_acts(ground.store.database, limit=0)))
    place = place_of(pattern, ground.scene)
    answer = ground.post(place, {"reason": "forced browsing"}, accounts="somebody-elses")

    assert answer.status_code == 404, place
    assert len(list(list_acts(ground.store.database, limit=0))) == before
