"""Workers lower their own priority, each in a process of its own: it can't be raised again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys, threading
from workers.queue.lifespan import step_back
for started_with, nice in [(0, 5), (0, 0), (7, 5)]:
    child = os.fork()
    if not child:
        before = os.nice(started_with)
        step_back(nice)
        is_batch = os.sched_getscheduler(0) == os.SCHED_BATCH
        threading.Thread(target=lambda: print(nice, before, os.nice(0), int(is_batch), flush=True)).start()
        break
    os.waitpid(child, 0)
"""


def test_a_worker_steps_back_but_not_further_than_it_was_put_already():
    argv = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=180).stdout.splitlines()
    assert len(told) == 3
    for nice, before, now, is_batch in (map(int, line.split()) for line in told):
        assert now == max(before, nice)
        assert is_batch == (nice > 0)


GROUP = Path("/proc/self/autogroup")
SESSION = """
import os, sys
from workers.queue.lifespan import step_back
def told():
    return open("/proc/self/autogroup").read().split()[-1]
os.setsid()
child = os.fork()
if not child:
    step_back(7)  # it does not lead the session: the others' priority is none of its business
    print(told(), flush=True)
else:
    os.waitpid(child, 0)
    for nice in (5, 10, 3):
        step_back(nice)
        print(told(), flush=True)
"""


@pytest.mark.skipif(not GROUP.exists(), reason="this system does not weigh sessions against each other")
def test_the_session_that_a_process_leads_steps_back_with_it():
    child = subprocess.run(
        [sys.executable, "-c", f"import os\nif os.fork() == 0:\n exec({SESSION!r})\nelse: os.wait()"],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    assert child.stdout.split() == ["0", "5", "10", "10"]
