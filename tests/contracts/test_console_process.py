"""The console of the real web process: who comes in, where, and that it is left out where it is not wanted."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.web_process import SLOWLY_ON_BOTH, Site
from workers.web.console.gate import CLOSED


def browser(site):
    return httpx.Client(base_url=site.web.url, timeout=60, trust_env=False, headers={"sec-fetch-site": "same-origin"})


@pytest.fixture
def new_site(tmp_path, database_url):
    """Starts a web process with these settings."""
    sites: list[Site] = []

    def start(**settings):
        sites.append(Site(tmp_path, database_url, **settings))
        return sites[-1]

    yield start
    for site in sites:
        site.close()


@SLOWLY_ON_BOTH
def test_an_added_person_signs_in_and_is_put_out_again(new_site):
    site = new_site()
    (made,) = site.invoices("users", "add", "j.brandt", "--role", "operator", "--json")
    with browser(site) as client:
        assert client.get("/console/").headers["location"] == "/console/sign-in?next=%2Fconsole%2F"
        assert client.post("/console/sign-in", data={"name": "j.brandt", "password": "x"}).status_code == 401
        signed_in = client.post("/console/sign-in", data={"name": "j.brandt", "password": made["password"]})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/console/")
        assert client.get("/console/invoices").status_code == 200
        assert client.get("/console/link").status_code == 403
        site.invoices("users", "end-sessions", "j.brandt", "--json")
        assert client.get("/console/invoices").status_code == 303
    assert made["password"] not in site.web.log.read_text()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_a_public_address_without_people_it_is_closed_and_the_rest_goes_on(new_site):
    site = new_site(INVOICES_PUBLIC_URL="https://pay.example")
    with browser(site) as client:
        assert client.get("/console/sign-in").status_code == 503
        assert client.get("/v1/openapi.json").status_code == 200
        assert client.post("/callbacks/nebulox", content=b"{}").status_code == 401
    (told,) = site.web.lines("console.closed")
    assert told["reason"] == CLOSED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_process_that_serves_no_console_knows_no_such_page(new_site):
    site = new_site(INVOICES_WEB_SERVE="callbacks,api")
    with browser(site) as client:
        assert client.get("/console/").status_code == 404
        assert client.get("/console/sign-in").status_code == 404
