"""What deploy/API.md says to paste works as pasted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.contracts.web_process import ROOT, Web
from workers.embedded.valkey import stop_valkey

PAGE = (ROOT / "deploy" / "API.md").read_text()
BLOCKS = dict(re.findall(r"<!-- (\w+) -->\n```sh\n(.*?)\n```", PAGE, re.DOTALL))
#: What each of them prints begins so, or holds it.
TOLD = {
    "order": ["HTTP/1.1 202", "/v1/invoices/inv_", '"order_id":"1001"'],
    "many": ['{"index":0,"status":202,"invoice":', '{"index":1,"status":422,"problem":'],
    "invoices": ['"status":"queued"', '"timeline":[{"at"', '"cause":"'],
    "cancel": ['"status":"cancelled"', "the customer changed her mind"],
    "events": ['{"events":[', '"next":', "retry: 1000"],
    "snapshot": ["HTTP/1.1 200", "snapshot-position: 0", '"as_of":0', '"order_id":"2001"'],
    "error": ['"status":422', '"pointer":"#/price"', "must be greater than 0"],
}


@pytest.fixture
def web(tmp_path):
    web = Web(tmp_path)
    yield web
    web.process.end()
    stop_valkey(tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands are curl's")
def test_its_commands_work_as_pasted(web):
    assert set(BLOCKS) == {"token", "wait", *TOLD}
    parts = [f"echo '=== {name}'\n{commands}\necho" for name, commands in BLOCKS.items()]
    script = "\n".join(parts).replace("http://127.0.0.1:8420", web.url).replace("wait=10", "wait=1")
    script = script.replace(".venv/bin/invoices", f"{sys.executable} -m workers.cli")
    ran = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=ROOT,
        env=web.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    printed = dict(re.findall(r"=== (\w+)\n(.*?)(?=\n=== |\Z)", ran.stdout, re.DOTALL))
    for name, parts in TOLD.items():
        assert [part for part in parts if part not in printed[name]] == [], printed[name]
    assert json.loads(printed["wait"])["order_id"] == "1002"
