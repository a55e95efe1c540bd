"""`invoices up --observe` for real: a Prometheus that read a run answers every query of every dashboard, and its rules
are evaluated."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.observability.rules import HOW, PROMETHEUS, PROMTOOL, ROOT, alerts, queries, recorded
from tests.servers import free_port

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(PROMETHEUS is None, reason=f"no Prometheus: {HOW}"),
    pytest.mark.timeout(900),
]
INVOICES = (sys.executable, "-m", "workers.cli")
READY_SECONDS, ANSWER_SECONDS, END_SECONDS = 300, 300, 180  #: on a busy machine
#: Stands for Grafana's `$__rate_interval`.
RATE_INTERVAL = "5m"


class Run:
    """The processes of `up`, and commands and questions beside them."""

    def __init__(self, home: Path) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        self.sandbox = f"http://127.0.0.1:{free_port()}"
        self.web = f"http://127.0.0.1:{free_port()}"
        self.environment = ours | {
            "INVOICES_HOME": str(home / "home"),
            "INVOICES_SANDBOX_PORT": self.sandbox.rpartition(":")[2],
            "INVOICES_WEB_PORT": self.web.rpartition(":")[2],
            "INVOICES_WEBHOOK_ALLOW": "127.0.0.1",
            "INVOICES_LOG_FORMAT": "json",
        }
        self.log = home / "up.log"
        self.prometheus = ""

    def start(self):
        """Until everything is ready; the process."""
        with self.log.open("w") as output:
            up = subprocess.Popen(
                [*INVOICES, "up", "--observe"], cwd=ROOT, env=self.environment, stdout=output, stderr=output
            )
        wait_until(lambda: "Prometheus: http" in self.log.read_text(), READY_SECONDS, self.log)
        self.prometheus = re.findall(r"^Prometheus: (\S+)$", self.log.read_text(), re.MULTILINE)[0]
        return up

    def command(self, *arguments, code=0):
        """`invoices …`; what it printed."""
        ran = subprocess.run(
            [*INVOICES, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout

    def send(self, begin):
        """Orders whose ids begin so."""
        file = self.log.parent / f"{begin}.jsonl"
        file.write_text("".join(f"{json.dumps(order)}\n" for order in orders(begin)))
        self.command("enqueue", "--file", str(file))

    def add_endpoint(self, name, *, known):
        """A receiver of the sandbox's; one that does not know the secret refuses everything."""
        (line,) = self.command("endpoints", "add", f"{self.sandbox}/receiver/{name}", "--json").splitlines()
        endpoint = json.loads(line)
        secret = endpoint["secret"] if known else "whsec_c2VjcmV0LW9mLXNvbWVib2R5LWVsc2U="
        fetch(f"{self.sandbox}/receiver/{name}/secret", {"secret": secret})
        return endpoint["id"]

    def ask(self, path, **parameters):
        """Prometheus' answer."""
        answer = fetch(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expr):
        """What a query answers now."""
        found = self.ask("query", query=expr.replace("$__rate_interval", RATE_INTERVAL))
        return [float(series["value"][1]) for series in found["result"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Orders that are paid, expire or stay open; an endpoint that takes webhooks and one that is disabled."""
    running = Run(tmp_path_factory.mktemp("observed"))
    up = running.start()
    try:
        running.add_endpoint("shop", known=True)
        running.command("endpoints", "disable", running.add_endpoint("other", known=False), "--reason", "a test")
        running.send("first")
        # A series that begins with what it counts has not grown: Prometheus must have read each once before more comes.
        for name in ("invoices_payable_seconds_count", "invoices_callback_seconds_count", "invoices_callbacks_total"):
            wait_until(lambda name=name: running.values(name), ANSWER_SECONDS, running.log)
        running.send("second")
        for path in ("/health/ready", "/v1/openapi.json", "/v1/invoices"):
            fetch(f"{running.web}{path}", may_fail=True)
        yield running
    finally:
        up.send_signal(signal.SIGTERM)
        code = up.wait(END_SECONDS)
    assert code == 0, running.log.read_text()[-3000:]


def orders(begin):
    """Of both providers."""
    for number in range(12):
        marker = ("~pay:1~", "~lifetime:3~", "")[number % 3]
        yield {"account": "nebulox", "order_id": f"{begin}-n{number}{marker}", "price": "12.50", "currency": "EUR"}
        yield {
            "account": "zeroxhost",
            "order_id": f"{begin}-z{number}",
            "params": {"user_id": f"{begin}-z{number}{marker}", "server_id": "s"},
        }
    # Where the provider tells no expiry, our clock decides.
    for number in range(3):
        yield {
            "account": "nebulox",
            "order_id": f"{begin}-short-{number}",
            "price": "1",
            "currency": "EUR",
            "lifetime_minutes": "0.1",
        }


def test_every_query_of_every_dashboard_is_answered(run):
    missing = list(queries())
    assert missing
    deadline = time.monotonic() + ANSWER_SECONDS
    while missing and time.monotonic() < deadline:
        missing = [query for query in missing if all(map(math.isnan, run.values(query.expr)))]
        time.sleep(1)
    assert not missing, "\n".join(f"{query.dashboard}: {query.panel}: {query.expr}" for query in missing)


def test_every_rule_is_evaluated_without_an_error(run):
    def evaluated():
        rules = [rule for group in run.ask("rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] == "ok" for rule in rules) else None

    rules = wait_until(evaluated, ANSWER_SECONDS, run.log)
    assert len(rules) == len(alerts()) + len(recorded())
    for expr in [*recorded().values(), *(alert.expr for alert in alerts())]:
        run.ask("query", query=expr)


def test_each_goal_is_recorded_from_what_really_happened(run):
    for name in recorded():
        wait_until(lambda name=name: run.values(name), ANSWER_SECONDS, run.log)


def test_of_all_alerts_only_what_really_is_so_fires(run):
    def names():
        return {alert["labels"]["alertname"] for alert in run.ask("alerts")["alerts"]}

    assert wait_until(lambda: "EndpointDisabled" in names() and names(), ANSWER_SECONDS, run.log)
    assert not names() & {"NoWorker", "NoWeb", "StoreAway", "KeyRefused", "ParkedRows", "Contradiction", "StreamBehind"}


@pytest.mark.skipif(PROMTOOL is None, reason=f"no promtool: {HOW}")
def test_promtool_finds_nothing_wrong_with_any_process_s_metrics(run):
    scraped = [target["scrapeUrl"] for target in run.ask("targets")["activeTargets"]]
    assert len(scraped) == 4  # web, worker, intake, beat
    for url in scraped:
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read()
        ran = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=180, check=False
        )
        assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()


def fetch(url, body=None, *, may_fail=False):
    """One exchange of JSON; None where it may fail and does."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        if may_fail:
            return None
        raise AssertionError(f"{url}: {error.code} {error.read().decode()}") from None


def wait_until(check, seconds, log):
    """Until it is true; the log's end when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)
    return found
