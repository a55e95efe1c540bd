"""The doctor as a command: it ends whatever hangs, tells no secret, and its last line sums up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.contracts.doctor_cases import SECRET_KEY
from workers.cli.doctor.command import _print_report, _sum_up
from workers.cli.doctor.finding import Finding, ago, counted, lasting
from workers.cli.doctor.report import run_side_by_side

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "hunter2-long"


@contextlib.contextmanager
def never_answering(trickle=b""):
    """A port that takes connections and says nothing, or ``trickle`` again and again, until the test ends."""
    ended = threading.Event()
    taken = []

    def serve():
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                taken.append(listener.accept()[0])
            for connection in taken:
                with contextlib.suppress(OSError):
                    connection.send(trickle)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
        ended.set()
        server.join()
        for connection in taken:
            connection.close()


def doctor(environment):
    """(exit code, its findings) of the real command."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor", "--json"],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,  # it gives up by itself long before
    )
    assert PASSWORD not in done.stdout + done.stderr
    assert "a-secret-key" not in done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_part_ends_by_itself_when_nothing_answers(tmp_path):
    with never_answering() as silent, never_answering(b"X") as trickling:
        accounts = {
            name: {"provider": "nebulox", "base_url": f"http://127.0.0.1:{port}", "api_key": "a-secret-key"}
            for name, port in {"silent": silent, "trickling": trickling}.items()
        }
        code, found = doctor(
            {
                "INVOICES_HOME": str(tmp_path),
                "INVOICES_SECRET_KEY": SECRET_KEY,
                "INVOICES_DATABASE_URL": f"postgresql://invoices:{PASSWORD}@127.0.0.1:{silent}/invoices",
                "INVOICES_BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:{silent}/0",
                "INVOICES_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{trickling}/0",
                "INVOICES_ACCOUNTS": json.dumps(accounts),
            }
        )
    assert code == 1
    wrong = {line["check"] for line in found if line["state"] == "wrong"}
    assert {"database", "broker", "redis", "account silent", "account trickling", "workers"} <= wrong


def test_a_check_that_hangs_is_wrong_and_what_it_found_before_counts():
    ended = threading.Event()

    def hang():
        yield Finding("slow", "ok", "begun")
        ended.wait()

    def answer():
        yield Finding("quick", "ok", "well")

    def fail():
        yield Finding("broken", "ok", "begun")
        raise ValueError("a bug")

    found = list(run_side_by_side([("slow", hang), ("broken", fail), ("quick", answer)], 0.2))
    ended.set()
    assert [(finding.check, finding.state, finding.cause) for finding in found] == [
        ("slow", "ok", None),
        ("slow", "wrong", "hangs"),
        ("broken", "ok", None),
        ("broken", "wrong", "failed"),
        ("quick", "ok", None),
    ]
    assert "a bug" in found[3].detail


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["ok"], "nothing is wrong"),
        (["ok", "note"], "nothing is wrong, 1 note"),
        (["wrong", "ok"], "1 thing is wrong"),
        (["note", "wrong", "wrong", "note", "wrong"], "3 things are wrong, 2 notes"),
    ],
)
def test_the_last_line_sums_up(states, said):
    assert _sum_up([Finding("a", state, "b") for state in states]) == said


def test_a_long_detail_goes_on_below_its_beginning_and_no_command_is_broken(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    endpoint = f"ep_{'0' * 32}"
    found = [
        Finding("broker", "wrong", "takes no writes, whoever asks for it and however often that is", command="x y"),
        Finding("workers", "ok", f"one word and {endpoint}"),
    ]
    _print_report(found)
    assert capsys.readouterr().out.splitlines() == [
        "ok     workers  one word and",
        f"                {endpoint}",
        "wrong  broker   takes no writes, whoever asks for it and",
        "                however often that is → x y",
        "1 thing is wrong",
    ]
    monkeypatch.delenv("COLUMNS")
    _print_report(found)
    assert len(capsys.readouterr().out.splitlines()) == len(found) + 1  # a pipe gets a line each


def test_a_finding_is_one_bounded_line_without_secrets():
    from config.logging import register_secrets

    register_secrets(["a-very-secret-key"])
    detail = f"bad\nline \x1b[31m redis://user:pa55word@host/0 a-very-secret-key {'x' * 2000}"
    safe = Finding("a", "wrong", detail).safe()
    assert len(safe.detail) <= 700
    assert safe.detail.isprintable()
    assert "pa55word" not in safe.detail
    assert "a-very-secret-key" not in safe.detail


def test_times_and_numbers_are_told_as_people_do():
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 11, 29, tzinfo=UTC)
    spans = {0: "0 s", 119: "119 s", 125: "2 min", 7200: "2 h", 86_400 * 3: "3 d"}
    assert {seconds: lasting(seconds) for seconds in spans} == spans
    assert ago(now - timedelta(minutes=40), now) == "40 min"
    assert ago(now + timedelta(minutes=1), now) == "0 s"
    assert (counted(1, "order waits", "orders wait"), counted(2000, "row")) == ("1 order waits", "2,000 rows")
