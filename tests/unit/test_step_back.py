"""Workers lower their own priority, each in a process of its own: it can't be raised again."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, threading
from workers.queue.lifespan import step_back
for started_with, nice in [(0, 5), (0, 0), (7, 5)]:
    child = os.fork()
    if not child:
        before = os.nice(started_with)
        step_back(nice)
        threading.Thread(target=lambda: print(nice, before, os.nice(0), flush=True)).start()
        break
    os.waitpid(child, 0)
"""


def test_a_worker_steps_back_but_not_further_than_it_was_put_already():
    argv = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert len(told) == 3
    for nice, before, now in (map(int, line.split()) for line in told):
        assert now == max(before, nice)
