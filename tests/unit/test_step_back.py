"""Workers lower their own priority, in a process of its own: it can't be raised again."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, threading
from workers.queue.lifespan import step_back
before = os.nice(int(sys.argv[1]))
step_back(int(sys.argv[2]))
threading.Thread(target=lambda: print(before, os.nice(0))).start()
"""


@pytest.mark.parametrize(("started_with", "nice"), [(0, 5), (0, 0), (7, 5)])
def test_a_worker_steps_back_but_not_further_than_it_was_put_already(started_with, nice):
    argv = [sys.executable, "-c", PROGRAM, str(started_with), str(nice)]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    before, now = map(int, told)
    assert now == max(before, nice)
