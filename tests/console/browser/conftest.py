"""Chromium, as Debian has it, and a console over a scene on a socket of its own."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.console.ground import ONLY, ROLE, Ground
from tests.servers import wait_until
from workers.web.server import listen, url_of

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 380, "height": 800}
ZONE = "Europe/Berlin"
PATIENCE_MS = 120_000  #: for what is waited for, however busy the machine
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items):
    """All of these need a browser."""
    for item in items:
        if "/console/browser/" in str(item.path):
            item.add_marker(pytest.mark.engines)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on the PATH: `.ci/engines` installs it on a Debian")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox does not take root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=PATIENCE_MS)
        yield browser
        browser.close()


class Site:
    """A console that listens."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.bound = listen("127.0.0.1", 0)
        self.url = url_of(self.bound)
        config = uvicorn.Config(ground.application, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.bound]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, "the console listens")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def site(ground):
    """The console over the scene; everybody is let in, with the role that their browser's header says."""
    site = Site(ground)
    yield site
    site.close()


class Person:
    """Somebody at a browser. ``errors``: what its console said, and every answer that a page did not get."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self._site = site
        self.page.on(
            "console", lambda said: self.errors.append(said.text) if said.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def go(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(self._site.url + path)
        return self.page


@pytest.fixture
def person(chromium, site):
    """Opens a browser as somebody: `person(role="viewer", dark=True, viewport=NARROW)`."""
    contexts: list[BrowserContext] = []

    def come(role="admin", accounts=None, dark=False, viewport=None, scripts=True, language="en-GB", **more) -> Person:
        headers = {ROLE: role} | ({} if accounts is None else {ONLY: accounts})
        context = chromium.new_context(
            viewport=viewport or WIDE,
            color_scheme="dark" if dark else "light",
            timezone_id=ZONE,
            locale=language,
            java_script_enabled=scripts,
            extra_http_headers=headers,
            **more,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return Person(context, site)

    yield come
    for context in contexts:
        context.close()
