"""The console behind a real nginx and a real Caddy, set up as the examples in deploy/proxies have it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.ground import Ground
from tests.contracts.store_cases import judge, seen
from tests.proxies import PROXIES


@pytest.fixture
def ground(scene):
    """The console, which believes the proxy."""
    ground = Ground(scene, trusted_proxies=("127.0.0.1",))
    yield ground
    ground.close()


@pytest.fixture(params=PROXIES)
def proxy(request, site, tmp_path):
    """A proxy in front of the console."""
    proxy = PROXIES[request.param](tmp_path, site.url)
    yield proxy
    proxy.close()


def test_pages_go_on_by_themselves_behind_a_proxy(person, proxy, scene):
    looking = person(ignore_https_errors=True)
    looking.page.goto(f"{proxy.url}/console/invoices")
    row = looking.page.locator(f"#{scene.ids['dpkg-48231']}")
    expect(looking.page.get_by_role("button", name="Live")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))

    expect(row).to_contain_text("confirming")
    assert looking.errors == []
