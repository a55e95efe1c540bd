"""How many connections a process may have."""

from __future__ import annotations

import resource
import subprocess
import sys

TOLD = """
import resource
from workers.http import open_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
open_files.raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], open_files.webhook_connections())
"""


def told(soft, hard):
    ran = subprocess.run(
        [sys.executable, "-c", TOLD.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    return tuple(map(int, ran.stdout.split()))


def test_a_low_limit_is_raised_to_what_a_busy_worker_needs():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    assert told(256, hard) == (most, min(1024, most // 2))


def test_where_the_host_allows_no_more_webhooks_take_half_of_what_there_is():
    assert told(256, 512) == (512, 256)
    assert told(300, 300) == (300, 150)


def test_a_limit_that_is_higher_already_stays():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    higher = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    assert told(higher, higher) == (higher, min(1024, higher // 2))
