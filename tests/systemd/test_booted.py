"""The units under a real systemd, with a real database and broker: an order through all of them, a hang, a stop."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.brokers import find_redis_or_valkey
from tests.engines import MissingEngineError, run_postgres
from tests.redis_brokers import RedisServer
from tests.servers import free_port, wait_until
from tests.systemd.booted import PYTHON, ROOT, CannotBoot, booted
from workers.embedded.sandbox.process import SandboxProcess

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(900)]

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
UNITS = ROOT / "deploy" / "systemd"
#: In place of a minute, so that a test need not wait for one.
WATCHDOG = "[Service]\nWatchdogSec=10\n"
#: What the command needs to enqueue.
ASKED = ("INVOICES_ACCOUNTS", "INVOICES_BROKER_URL", "INVOICES_DATABASE_URL")
ALL = ["invoices-intake@1", "invoices-worker@1", "invoices-worker@2", "invoices-beat"]


def settings_of(database_port, broker_url, sandbox):
    accounts = {
        "nebulox": {
            "provider": "nebulox",
            "base_url": sandbox.nebulox_url,
            "api_key": "file:$CREDENTIALS_DIRECTORY/invoices_nebulox",
            "timeout_seconds": 60,
        }
    }
    return {
        "INVOICES_DATABASE_URL": f"postgresql+psycopg://postgres@127.0.0.1:{database_port}/postgres",
        "INVOICES_DATABASE_PASSWORD_FILE": "$CREDENTIALS_DIRECTORY/invoices_database_password",
        "INVOICES_BROKER_URL": broker_url,
        "INVOICES_ACCOUNTS": f"'{json.dumps(accounts)}'",
        "INVOICES_METRICS_PORT": "9400+",
        **PYTHON,
    }


def files_of(settings):
    return {
        **{f"systemd/system/{unit.name}": unit.read_text() for unit in UNITS.iterdir() if unit.suffix != ".md"},
        "systemd/system/invoices-worker@.service.d/watchdog.conf": WATCHDOG,
        "invoices/invoices.env": "".join(f"{name}={value}\n" for name, value in settings.items()),
        "invoices/credentials/database_password": "not-asked-for\n",
        "invoices/credentials/secret_key": f"{KEY}\n",
        "invoices/credentials/nebulox": "sandbox-nebulox-key\n",
    }


class Site:
    """A host with the units, and the servers beside it."""

    def __init__(self, host, engine, settings, web_port):
        self.host = host
        self.engine = engine
        self.settings = {name: settings[name].strip("'") for name in (*PYTHON, *ASKED)}
        self.web = f"invoices-web@{web_port}"
        self.units = [*ALL, self.web]

    def statuses(self):
        with self.engine.connect() as connection:
            return dict(connection.execute(text("SELECT order_id, status FROM invoice")).all())

    def order(self, order_id):
        asked = ["enqueue", "--account", "nebulox", "--order-id", order_id, "--price", "1", "--currency", "EUR"]
        environment = [f"{name}={value}" for name, value in self.settings.items()] + [f"INVOICES_SECRET_KEY={KEY}"]
        ran = self.host.run("env", *environment, "/opt/invoices/bin/invoices", *asked)
        assert ran.returncode == 0, ran.stderr

    def pid(self, unit):
        """Outside."""
        inner = self.host.show(unit, "MainPID")
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                ids = [line for line in status.read_text().splitlines() if line.startswith("NSpid:")]
                if len(ids[0].split()) == 3 and ids[0].split()[-1] == inner and is_child_of(status, self.host.pid):
                    return int(status.parent.name)
        raise AssertionError(f"{unit} has no process")


def is_child_of(status, pid):
    return f"PPid:\t{pid}\n" in status.read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        port, web_port = free_port(), free_port()
        try:
            url = stack.enter_context(run_postgres({"listen_addresses": "127.0.0.1", "port": str(port)}))
            program = find_redis_or_valkey()
        except MissingEngineError as error:
            pytest.skip(str(error))
        broker = stack.enter_context(contextlib.closing(RedisServer(program, tmp_path_factory.mktemp("broker"))))
        sandbox = stack.enter_context(SandboxProcess("--seed", "7"))
        engine = create_engine(f"{url}&port={port}")
        stack.callback(engine.dispose)
        settings = settings_of(port, broker.broker_url, sandbox)
        try:
            host = stack.enter_context(booted(files_of(settings)))
        except CannotBoot as error:
            pytest.skip(str(error))
        site = Site(host, engine, settings, web_port)
        host.systemctl("enable", "invoices.target", *site.units)
        host.systemctl("start", "--no-block", "invoices.target")
        yield site


def is_active(site, unit):
    state = site.host.show(unit, "ActiveState")
    assert state != "failed", site.host.log(unit)[-3000:]
    return state == "active"


def has_ended(site, unit):
    return site.host.show(unit, "ActiveState") != "deactivating"


def test_the_target_starts_all_and_an_order_becomes_payable(site):
    for unit in ["invoices-migrate", *site.units]:
        wait_until(functools.partial(is_active, site, unit), f"{unit} is active", 240)
    assert "ready" in site.host.show("invoices-worker@1", "StatusText")
    site.order("first")
    wait_until(lambda: site.statuses().get("first") == "pending", "the order is payable", 120)


@pytest.mark.parametrize("unit", ["invoices-intake@1", "invoices-worker@1", "invoices-beat"])
def test_its_process_may_do_next_to_nothing(site, unit):
    status = Path(f"/proc/{site.pid(unit)}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {facts[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert "0" not in facts["Uid"].split()
    root = Path(f"/proc/{site.pid(unit)}/root")
    found = {path.name for path in (root / "run/credentials" / f"{unit}.service").iterdir()}
    assert found == {"invoices_database_password", "invoices_secret_key", "invoices_nebulox"}


def test_no_secret_is_in_an_environment_or_a_title(site):
    for unit in site.units:
        for name in ("environ", "cmdline"):
            content = Path(f"/proc/{site.pid(unit)}/{name}").read_bytes()
            assert KEY.encode() not in content
            assert b"sandbox-nebulox-key" not in content


def test_a_worker_that_stands_still_is_killed_and_started_again(site):
    before = site.pid("invoices-worker@1")
    os.kill(before, signal.SIGSTOP)
    wait_until(lambda: int(site.host.show("invoices-worker@1", "NRestarts")) >= 1, "it was started again", 240)
    wait_until(lambda: is_active(site, "invoices-worker@1"), "it is active", 240)
    assert "Watchdog timeout" in site.host.console() + site.host.log("invoices-worker@1")
    assert "most recent call first" in site.host.log("invoices-worker@1")  # where each thread was
    assert site.pid("invoices-worker@1") != before
    site.order("after the hang")
    wait_until(lambda: site.statuses().get("after the hang") == "pending", "the order is payable", 120)


def test_a_stop_of_the_target_stops_all_in_good_order(site):
    site.host.systemctl("stop", "invoices.target")
    for unit in site.units:
        wait_until(functools.partial(has_ended, site, unit), f"{unit} ends", 120)
        assert (site.host.show(unit, "ActiveState"), site.host.show(unit, "Result")) == ("inactive", "success")
