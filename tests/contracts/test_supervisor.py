"""The supervisor, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from workers.embedded.errors import EmbeddedError
from workers.embedded.supervisor import ProcessSpec, Supervisor

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120
QUIET_END = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
FOR_EVER = "import time\nprint('ready')\nwhile True: time.sleep(0.05)"
SUPERVISING = """
import sys
from workers.embedded.supervisor import ProcessSpec, supervise
sys.exit(supervise([ProcessSpec("child", (sys.executable, "-c", sys.argv[1]))], stop_timeout_seconds=60))
"""


def python(name: str, code: str, **env: str) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", code), env)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


class Running:
    """A supervisor in a thread, its log, and what `run` returned."""

    def __init__(self, *processes: ProcessSpec, stop_timeout_seconds: float = 60):
        self.lines: list[str] = []
        self.clean: bool | None = None
        self.supervisor = Supervisor(processes, log=self.lines.append, stop_timeout_seconds=stop_timeout_seconds)
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        self.clean = self.supervisor.run()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error: object):
        self.supervisor.stop(at_once=error[0] is not None)
        self.thread.join(DEADLINE_SECONDS)
        assert not self.thread.is_alive()


def test_lines_of_all_processes_come_together_with_json_left_as_it_is():
    with Running(
        python("one", QUIET_END + "print('hello')\n" + FOR_EVER),
        python("three", QUIET_END + 'print(\'{"event": "started"}\')\n' + FOR_EVER),
    ) as running:
        wait_until(lambda: {"one   | ready", "three | ready"} <= set(running.lines))

    assert "one   | hello" in running.lines
    assert '{"event": "started"}' in running.lines
    assert running.clean is True


def test_a_process_that_ends_is_started_again():
    with Running(python("short", "import sys; print('up'); sys.exit(3)")) as running:
        wait_until(lambda: running.lines.count("short | up") >= 2)


def test_a_process_gets_its_own_environment_and_this_python_s_programs():
    code = QUIET_END + "import os, shutil; print(os.environ['COLOUR'], shutil.which('python'))\n" + FOR_EVER
    with Running(python("child", code, COLOUR="blue")) as running:
        wait_until(lambda: running.lines)

    assert running.lines[0] == f"child | blue {Path(sys.executable).parent / 'python'}"


def test_a_process_that_ignores_sigterm_is_killed_and_that_is_told():
    with Running(python("stubborn", STUBBORN + FOR_EVER), stop_timeout_seconds=0.3) as running:
        wait_until(lambda: "stubborn | ready" in running.lines)

    assert running.clean is False


def test_what_a_dead_process_left_behind_is_ended_with_it(tmp_path):
    note = tmp_path / "pid"
    code = f"""
import pathlib, subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({str(note)!r}).write_text(str(left.pid) + " ")
"""
    with Running(python("parent", code)):
        wait_until(lambda: note.exists() and note.read_text().endswith(" "))
        pid = int(note.read_text())
        wait_until(lambda: not alive(pid))


def test_a_program_that_does_not_exist_stops_the_start_with_its_name():
    supervisor = Supervisor([python("good", FOR_EVER), ProcessSpec("bad", ("no-such-program",))])

    with pytest.raises(EmbeddedError, match="bad: there is no program no-such-program"):
        supervisor.run()


def supervise_elsewhere(code: str) -> subprocess.Popen[str]:
    """A supervisor process of its own over one child; returns once the child has said `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    read_until(process, "child | ready")
    return process


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line.strip()
    raise AssertionError(f"{text} was never said")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_cleanly(number):
    process = supervise_elsewhere(QUIET_END + FOR_EVER)

    process.send_signal(number)
    process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 0


def test_a_second_signal_kills_at_once():
    told = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('no'));"
    process = supervise_elsewhere(told + FOR_EVER)

    process.send_signal(signal.SIGINT)
    read_until(process, "child | no")  # far from the time-out: only the second signal can end it
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_no_process_outlives_a_killed_supervisor():
    process = supervise_elsewhere(STUBBORN + "import os; print('ready'); print('pid', os.getpid())\n" + FOR_EVER)
    pid = int(read_until(process, "pid ").split()[-1])

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE_SECONDS)

    wait_until(lambda: not alive(pid))
