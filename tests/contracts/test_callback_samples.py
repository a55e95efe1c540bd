"""`invoices callbacks test`: a signed sample goes to the public address, and what came back is said in one line."""

from __future__ import annotations

import http.server
import json
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from tests.contracts.web_process import Web
from tests.nursery import shared
from workers.embedded.valkey import stop_valkey

ACCOUNTS = {
    name: {"provider": provider, "base_url": "http://127.0.0.1:9", "api_key": "the-key"}
    for name, provider in (("shop", "nebulox"), ("silent", "zeroxhost"))
}


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    home = tmp_path_factory.mktemp("web")
    web = Web(home, INVOICES_ACCOUNTS=json.dumps(ACCOUNTS))
    yield web
    web.process.end()
    stop_valkey(home)


def post_sample(web, account, public_url, *arguments, **settings):
    """The command as somebody runs it on another host."""
    environment = web.environment | ({} if public_url is None else {"INVOICES_PUBLIC_URL": public_url}) | settings
    ran = shared().run(["invoices", "callbacks", "test", account, *arguments], environment, 120)
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def test_one_that_arrives_is_answered_200_and_nothing_is_kept_of_it(web):
    ran = post_sample(web, "shop", web.url)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"{web.url}/callbacks/shop answered 200")
    assert len(ran.stdout.splitlines()) == 1
    (line,) = post_sample(web, "shop", web.url, "--json").stdout.splitlines()
    assert (json.loads(line)["ok"], json.loads(line)["status"]) == (True, 200)
    with sqlite3.connect(Path(web.environment["INVOICES_HOME"]) / "invoices.db") as connection:
        assert connection.execute("SELECT count(*) FROM callback").fetchone() == (0,)


def test_another_key_there_is_told(web):
    other = {**ACCOUNTS, "shop": {**ACCOUNTS["shop"], "api_key": "another-key"}}
    ran = post_sample(web, "shop", web.url, INVOICES_ACCOUNTS=json.dumps(other))
    assert (ran.returncode, len(ran.stderr.splitlines()), ran.stdout) == (1, 1, "")
    assert "answered 401" in ran.stderr
    assert "same api_key" in ran.stderr
    assert "another-key" not in ran.stderr


def test_an_address_that_leads_nowhere_is_told(web):
    ran = post_sample(web, "shop", "http://127.0.0.1:9", "--json")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert "no answer came" in ran.stderr
    assert json.loads(ran.stdout)["status"] is None


@pytest.mark.parametrize(
    ("account", "public_url", "words"),
    [
        ("shop", None, "INVOICES_PUBLIC_URL is not set"),
        ("nobody", "https://pay.example", "known are shop, silent"),
        ("silent", "https://pay.example", "sends no callbacks"),
    ],
)
def test_what_can_not_be_tested_says_why(web, account, public_url, words):
    ran = post_sample(web, account, public_url)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert words in ran.stderr


class Redirecting(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(301)
        self.send_header("location", "https://elsewhere.example/")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Quiet."""


def test_a_redirect_is_not_followed(web):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ran = post_sample(web, "shop", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert (ran.returncode, "answered 301" in ran.stderr, "no redirect" in ran.stderr) == (1, True, True)
