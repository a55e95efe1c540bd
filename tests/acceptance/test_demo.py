"""The demo holds what it claims, and cleans up behind itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from workers.cli.demo.orders import ROUND

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


TIMEOUT_SECONDS = 300  #: for orders to end, on a busy machine
END_SECONDS = 540  #: for all of it


def start_demo(home, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "demo", "--timeout", str(TIMEOUT_SECONDS), *options],
        cwd=ROOT,
        env=os.environ | {"INVOICES_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(home):
    """Command lines and environments of processes that have anything to do with a home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in text and int(entry.name) != os.getpid():
            found.append((entry.name, (entry / "cmdline").read_bytes()[:200]))
    return found


def test_a_demo_with_one_order_of_each_kind_holds(tmp_path):
    process = start_demo(tmp_path, "--orders", str(len(ROUND)), "--json", "--svg", str(tmp_path / "demo.svg"))
    out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, (out, err)
    report = json.loads(out)
    assert report["holds"]
    details = {check["what"]: check["detail"] for check in report["checks"]}
    assert details["Nebulox orders were paid by its callbacks"].startswith("9 of 9; 1 of them late, ")
    assert details["callbacks sent = answered = kept"] == (
        "12 sent, 12 answered, 1 of them repeats, 11 kept; 1 never came"
    )
    assert details["forged callbacks were refused, none counted"] == "2 forged, 2 refused"
    assert report["counts"] == {"paid": 27, "expired": 8, "failed": 2}
    assert (tmp_path / "demo.svg").read_text().startswith("<svg")
    assert not (tmp_path / "demo").exists()
    assert processes_of(tmp_path) == []


def test_a_demo_of_two_orders_holds_too(tmp_path):
    """With so few events the refusals in a row would all have met the same one, which then waits for minutes."""
    process = start_demo(tmp_path, "--orders", "2", "--json")
    out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, (out, err)
    assert json.loads(out)["counts"] == {"paid": 1, "expired": 1}


def test_ctrl_c_ends_a_demo_and_all_it_started(tmp_path):
    process = start_demo(tmp_path, "--orders", "300")
    assert process.stdout is not None
    for line in process.stdout:
        if "queued" in line or "pending" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert processes_of(tmp_path) == []


def test_a_demo_that_stays_has_its_console_open_until_ctrl_c(tmp_path):
    process = start_demo(tmp_path, "--orders", "8", "--stay")
    assert process.stderr is not None
    links: list[str] = []
    for line in process.stderr:
        links += re.findall(r"http://\S+/console/link\?key=\S+", line)
        if len(links) == 2:
            break
    place, _, key = links[1].rpartition("?key=")
    with httpx.Client(trust_env=False, timeout=60, headers={"sec-fetch-site": "same-origin"}) as browser:
        assert browser.post(place, data={"key": key}).status_code == 303
        page = browser.get(place.removesuffix("link") + "invoices")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=END_SECONDS)

    assert (page.status_code, process.returncode) == (200, 0), (out, err)
    assert 'type="search"' in page.text
    assert not (tmp_path / "demo").exists()
    assert processes_of(tmp_path) == []
