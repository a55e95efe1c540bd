"""Real proxies in front of a web process, set up as the examples in deploy/proxies have it."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import CertificateFiles, write_certificates
from tests.servers import Server, free_port, wait_until

EXAMPLES = Path(__file__).resolve().parents[1] / "deploy" / "proxies"
AROUND_NGINX = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""


class Proxy:
    """An example with a test's addresses in it; skips where its program is missing."""

    name: str
    example: str
    where: str  #: the folder of the certificates in the example

    def __init__(self, folder: Path, behind: str) -> None:
        self.folder = folder
        program = shutil.which(self.name, path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip(f"no {self.name} on the PATH: `.ci/engines` installs it on a Debian")
        self.certificates = write_certificates(folder, "localhost")
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self._program, self._log = program, folder / f"{self.name}.log"
        text = (EXAMPLES / self.example).read_text()
        for old, new in self._changes(behind.removeprefix("http://"), self.certificates).items():
            assert old in text, old
            text = text.replace(old, new)
        self._server = Server(self._command(program, text), self._log, os.environ | {"HOME": str(folder)})
        wait_until(lambda: self._answers() or not self._server.runs(), f"{self.name} answers")
        assert self._server.runs(), self._log.read_text()

    def trust(self) -> ssl.SSLContext:
        """For a client that believes this test's authority."""
        return ssl.create_default_context(cafile=str(self.certificates.ca))

    def reload(self) -> None:
        """Read the configuration anew, as after a change; until that is over."""
        done = subprocess.run(self._reload(self._program), capture_output=True, check=False, timeout=180)
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        # Not SIGTERM: Caddy then waits for as long as anybody has a page open.
        self._server.end()

    def _changes(self, behind: str, files: CertificateFiles) -> dict[str, str]:
        return {
            "127.0.0.1:8420": behind,
            f"{self.where}/pay.example.pem": str(files.certificate),
            f"{self.where}/pay.example.key": str(files.key),
        }

    def _answers(self) -> bool:
        raise NotImplementedError

    def _command(self, program: str, text: str) -> list[str]:
        raise NotImplementedError

    def _reload(self, program: str) -> list[str]:
        raise NotImplementedError


class Nginx(Proxy):
    name, example, where = "nginx", "nginx.conf", "/etc/nginx"

    def _changes(self, behind: str, files: CertificateFiles) -> dict[str, str]:
        ours = {"listen 443": f"listen 127.0.0.1:{self.port}", "server_name pay.example": "server_name _"}
        return super()._changes(behind, files) | ours

    def _answers(self) -> bool:
        return (self.folder / "nginx.pid").exists()

    def _command(self, program: str, text: str) -> list[str]:
        (self.folder / "site.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(AROUND_NGINX.format(folder=self.folder, user=user))
        self._given = ["-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        return [program, *self._given]

    def _reload(self, program: str) -> list[str]:
        return [program, *self._given, "-s", "reload"]


class Caddy(Proxy):
    name, example, where = "caddy", "Caddyfile", "/etc/caddy"

    def _changes(self, behind: str, files: CertificateFiles) -> dict[str, str]:
        site = f"https://localhost:{self.port} {{\n\tbind 127.0.0.1"
        return super()._changes(behind, files) | {"pay.example {": site}

    def _answers(self) -> bool:
        return "serving initial configuration" in self._log.read_text()

    def _command(self, program: str, text: str) -> list[str]:
        self._admin = f"127.0.0.1:{free_port()}"
        config = self.folder / "Caddyfile"
        config.write_text(f"{{\n\tadmin {self._admin}\n\tauto_https disable_redirects\n}}\n{text}")
        self._given = ["--config", str(config), "--adapter", "caddyfile"]
        return [program, "run", *self._given]

    def _reload(self, program: str) -> list[str]:
        # --force: the file has not changed.
        return [program, "reload", *self._given, "--address", self._admin, "--force"]


PROXIES = {proxy.name: proxy for proxy in (Nginx, Caddy)}
