"""`invoices up` on the sandbox accounts, with only ports set: a Nebulox payment is called back and becomes paid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.sandbox_client import ask, wait_until
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
INVOICES = (sys.executable, "-m", "workers.cli")
PAID_SECONDS = 180


@pytest.fixture(params=[pytest.param("a fixed port", marks=pytest.mark.engines), "a free port"])
def environment(request, tmp_path):
    """What `up` and the commands beside it get."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    ports = {
        "INVOICES_SANDBOX_PORT": str(free_port()),
        "INVOICES_WEB_PORT": "0" if request.param == "a free port" else str(free_port()),
    }
    return ours | ports | {"INVOICES_HOME": str(tmp_path), "INVOICES_LOG_FORMAT": "json"}


def test_a_nebulox_order_is_paid_once_the_sandbox_has_called_back(environment, tmp_path):
    log = tmp_path / "up.log"
    with log.open("w") as output:
        up = subprocess.Popen([*INVOICES, "up"], cwd=ROOT, env=environment, stdout=output, stderr=output)
    control = f"http://127.0.0.1:{environment['INVOICES_SANDBOX_PORT']}/control/callbacks"

    def status():
        """The order's; None as long as there is none."""
        asked = subprocess.run([*INVOICES, "show", order, "--json"], cwd=ROOT, env=environment, capture_output=True,
                               timeout=PAID_SECONDS, check=False)  # fmt: skip
        return json.loads(asked.stdout)["status"] if asked.returncode == 0 else None

    try:
        wait_until(lambda: "web.listening" in log.read_text() and "pump.started" in log.read_text(), PAID_SECONDS)
        wait_until(lambda: ask(control)[1]["url"], PAID_SECONDS)
        wait_until(lambda: "/console/link?key=" in log.read_text(), PAID_SECONDS)
        order = "up-1~pay:1~"
        send = ["enqueue", "--account", "nebulox", "--order-id", order, "--price", "12.50", "--currency", "EUR"]
        subprocess.run(
            [*INVOICES, *send], cwd=ROOT, env=environment, capture_output=True, timeout=PAID_SECONDS, check=True
        )
        wait_until(lambda: status() == "paid", PAID_SECONDS)
        posted = ask(control)[1]
        assert (posted["sent"], posted["answered"]) == (1, 1)
    finally:
        up.send_signal(signal.SIGTERM)
        code = up.wait(PAID_SECONDS)
    assert code == 0, log.read_text()
