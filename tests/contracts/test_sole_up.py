"""One `invoices up` a home; its Valkey ends with it, however it ends; its ports and its readiness are told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import load_settings
from tests.contracts.test_supervisor import wait_until
from workers.cli.errors import CommandFailed
from workers.cli.up import log_format_for_children, require_free_ports
from workers.cli.up_readiness import Readiness, what_to_try
from workers.embedded.procfile import ProcessSpec
from workers.embedded.valkey import is_running, stop_valkey

ROOT = Path(__file__).parents[2]
UP = """
import sys
from pathlib import Path
from workers.embedded.errors import EmbeddedError
from workers.embedded.sole_up import kept_valkey, sole_up
home = Path(sys.argv[1])
try:
    with sole_up(home), kept_valkey(home):
        print("up", flush=True)
        sys.stdin.read()
except EmbeddedError as error:
    print(error, flush=True)
"""


@contextmanager
def up(home):
    """A process that holds a home as `up` does, and its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", UP, str(home)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(180)


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    stop_valkey(tmp_path / "home")


def test_a_second_one_is_refused_and_names_the_first_which_goes_on(home):
    with up(home) as (first, said):
        assert said == "up"
        with up(home) as (_, refusal):
            assert f"process {first.pid}, since " in refusal
            assert "INVOICES_HOME" in refusal
        assert is_running(home)
    assert not is_running(home)


def test_two_homes_are_two(home, tmp_path):
    with up(home) as (_, one), up(tmp_path / "other") as (_, other):
        assert (one, other) == ("up", "up")


def test_the_server_ends_with_one_that_is_killed(home):
    with up(home) as (first, _):
        assert is_running(home)
        first.kill()
        wait_until(lambda: not is_running(home))


def test_the_next_one_after_a_kill_has_a_server_that_nobody_stops(home):
    with up(home) as (first, _):
        first.kill()
        first.wait(180)
        with up(home) as (_, said):
            assert said == "up"
            # The former keeper has ended: the next one had to wait for its lock.
            assert is_running(home)
        assert not is_running(home)


def test_a_server_that_another_command_had_started_ends_with_it_too(home):
    from workers.embedded.valkey import ensure_valkey

    ensure_valkey(home)
    with up(home) as (_, said):
        assert said == "up"
    assert not is_running(home)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_closed_terminal_ends_the_processes_as_ctrl_c_does(number):
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # nohup's children ignore it
        "from workers.embedded.supervisor import ProcessSpec, supervise\n"
        "child = \"import time, os; print('ready', os.getpid(), flush=True); time.sleep(600)\"\n"
        "sys.exit(supervise([ProcessSpec('child', (sys.executable, '-c', child))]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        pid = next(int(line.split()[-1]) for line in lines if "ready" in line)
        process.send_signal(number)
        assert process.wait(180) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("setting", "who"), [("INVOICES_WEB_PORT", "the web process"), ("INVOICES_SANDBOX_PORT", "the sandbox")]
)
def test_a_port_in_use_is_named_with_the_setting_that_changes_it(setting, who):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = load_settings({"INVOICES_WEB_PORT": "0", setting: str(port)})
        with pytest.raises(CommandFailed, match=rf"port {port}, where {who} is to listen, is in use: set {setting}"):
            require_free_ports(config, has_sandbox=True)
    require_free_ports(config, has_sandbox=True)


def test_it_is_ready_when_every_process_has_said_so_and_says_it_once(capsys):
    lines: list[str] = []
    processes = [ProcessSpec(name, ("true",)) for name in ("sandbox", "intake", "worker1", "worker2", "beat", "web")]
    readiness = Readiness(processes, "ready after {seconds:.0f} s", lines.append)
    log = [
        '{"listening": "http://127.0.0.1:1"}',
        "intake | intake.started",
        '{"event": "pump.started"}',
        "web.listening",
    ]
    for line in log:
        readiness.take(line)
    assert capsys.readouterr().err == ""
    readiness.take("worker2 | pump.started")
    readiness.take("worker2 | pump.started")
    assert capsys.readouterr().err == "ready after 0 s\n"
    assert lines == [*log, "worker2 | pump.started", "worker2 | pump.started"]


def test_people_are_told_in_words_where_the_sandbox_listens(capsys):
    lines: list[str] = []
    processes = [ProcessSpec(name, ("true",)) for name in ("sandbox", "a-long-one")]
    readiness = Readiness(processes, "ready", lines.append, in_words=True)
    readiness.take('{"listening": "http://127.0.0.1:8421"}')
    readiness.take('{"listening": 7, "event": "other"}')
    assert lines == ["sandbox    | listening on http://127.0.0.1:8421/", '{"listening": 7, "event": "other"}']
    assert capsys.readouterr().err == "ready\n"


def test_the_way_in_is_told_with_it_once_the_web_process_has_said_where_it_listens(capsys):
    readiness = Readiness([ProcessSpec("web", ("true",))], "ready", lambda _: None, way_in="in at {}".format)
    readiness.take("web | web.listening")
    assert capsys.readouterr().err == ""
    readiness.take("web | listening on http://0.0.0.0:8420/")
    readiness.take("web | listening on http://0.0.0.0:8420/")
    assert capsys.readouterr().err == "ready\nin at http://127.0.0.1:8420\n"


def test_what_to_try_is_an_order_where_there_is_a_sandbox():
    config = load_settings({})
    assert "enqueue --account nebulox" in what_to_try(config, at_sandbox=True).format(seconds=1)
    assert "enqueue" not in what_to_try(config, at_sandbox=False).format(seconds=1)


@pytest.mark.parametrize(
    ("terminal", "environ", "given"),
    [
        (True, {}, {"INVOICES_LOG_FORMAT": "console"}),
        (False, {}, {}),
        (True, {"INVOICES_LOG_FORMAT": "json"}, {}),
    ],
)
def test_on_a_terminal_the_processes_log_for_people(monkeypatch, terminal, environ, given):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert log_format_for_children(load_settings(environ)) == given
