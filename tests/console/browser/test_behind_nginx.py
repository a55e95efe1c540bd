"""The console behind a real nginx, set up as deploy/proxies/nginx.conf has it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.certificates import write_certificates
from tests.console.ground import Ground
from tests.contracts.store_cases import judge, seen
from tests.servers import Server, free_port, wait_until

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "proxies" / "nginx.conf"
AROUND = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/console.conf;
}}
"""


class Nginx:
    """The example, with this test's addresses in it."""

    def __init__(self, folder: Path, behind: str) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("no nginx on the PATH: `.ci/engines` installs it on a Debian")
        certificates = write_certificates(folder, "localhost")
        port = free_port()
        text = EXAMPLE.read_text().replace("127.0.0.1:8420", behind.removeprefix("http://"))
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
            "server_name pay.example", "server_name _"
        )
        text = text.replace("/etc/nginx/pay.example.pem", str(certificates.certificate))
        text = text.replace("/etc/nginx/pay.example.key", str(certificates.key))
        (folder / "console.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
        self._log = folder / "nginx.log"
        self._server = Server([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], self._log)
        self.url = f"https://localhost:{port}"
        pid = folder / "nginx.pid"
        wait_until(lambda: pid.exists() or not self._server.runs(), "nginx is up")
        assert self._server.runs(), self._log.read_text()

    def close(self) -> None:
        self._server.end(signal.SIGTERM)


@pytest.fixture
def ground(scene):
    """The console, which believes the proxy."""
    ground = Ground(scene, trusted_proxies=("127.0.0.1",))
    yield ground
    ground.close()


@pytest.fixture
def nginx(site, tmp_path):
    """nginx in front of the console."""
    nginx = Nginx(tmp_path, site.url)
    yield nginx
    nginx.close()


def test_pages_go_on_by_themselves_behind_nginx(person, nginx, scene):
    looking = person(ignore_https_errors=True)
    looking.page.goto(f"{nginx.url}/console/invoices")
    row = looking.page.locator(f"#{scene.ids['dpkg-48231']}")
    expect(looking.page.get_by_role("button", name="Live")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))

    expect(row).to_contain_text("confirming")
    assert looking.errors == []


def test_metrics_are_not_for_outside(person, nginx):
    answered = person(ignore_https_errors=True).page.request.get(f"{nginx.url}/metrics")

    assert answered.status == 404
