"""The points at which crash campaigns end a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from workers.queue.fault_points import POINTS, VARIABLE, arm

CHILD = """
import workers.queue.fault_points as points

class Desk:
    def find(self):
        print("found", flush=True)

points.STEPS["find"] = points.Step(("__main__:Desk.find",))
points.POINTS = (*points.POINTS, "find.before", "find.after")
points.arm({wanted!r})
for _ in range(4):
    Desk().find()
"""


@pytest.mark.parametrize(("wanted", "found"), [("find.before:2", 1), ("find.after:2", 2), ("", 4)])
def test_a_process_dies_at_the_nth_pass_of_its_point(wanted, found):
    done = subprocess.run([sys.executable, "-c", CHILD.format(wanted=wanted)], capture_output=True, check=False)

    assert done.stdout.decode().split() == ["found"] * found
    assert done.returncode == (-9 if wanted else 0), done.stderr.decode()
    assert ("fault_point.died find" in done.stderr.decode()) == bool(wanted)


def test_every_point_names_something_that_exists():
    script = f"import workers.queue.fault_points as points\nfor point in {POINTS!r}: points.arm(point + ':1')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("wanted", ["nowhere.before:1", "create.call.after", "create.call.after:0", "create.call:x"])
def test_a_point_that_is_not_known_is_refused(wanted):
    with pytest.raises(ValueError, match=VARIABLE):
        arm(wanted)


def test_without_the_variable_nothing_is_wrapped():
    assert VARIABLE not in os.environ
    arm("")
