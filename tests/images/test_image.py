"""The image as it is built, and the compose file's services run from it: they write nothing, and do their work."""

from __future__ import annotations

import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.images.composition import ROLES
from tests.servers import wait_until
from workers.shipped import VERSION

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(900), pytest.mark.xdist_group("image")]

#: What the product adds to its base, unpacked. deploy/CONTAINERS.md tells the size.
MOST_MEGABYTES = 190
STOP_SECONDS = 60.0  #: the compose file's stop_grace_period


def files_of(image):
    """Every file and folder of ours in the image."""
    for folder, folders, files in os.walk(image.root / "opt" / "invoices"):
        for name in (*folders, *files):
            yield os.path.join(folder, name)  # noqa: PTH118 - 20,000 of them


def test_the_image_is_small_needs_no_shell_and_runs_as_a_number(image):
    config = image.config
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/opt/invoices/bin/invoices"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/opt/invoices/bin/invoices", "alive"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    (bill,) = (image.root / "usr" / "share" / "doc" / "invoices").glob("*.cdx.json")
    assert json.loads(bill.read_text())["bomFormat"] == "CycloneDX"
    home = (image.root / "var" / "lib" / "invoices").stat()
    assert (home.st_uid, home.st_gid) == (10001, 10001)
    found = {place: os.lstat(place) for place in files_of(image)}
    assert sum(one.st_size for one in found.values() if stat.S_ISREG(one.st_mode)) < MOST_MEGABYTES * 1e6
    assert [place for place, one in found.items() if one.st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert [place for place, one in found.items() if one.st_uid != 0] == []  # the process can't change what it runs
    assert not any(place.endswith(("/bin/pip", "/site-packages/pip", "/site-packages/setuptools")) for place in found)


def test_an_order_gets_paid_in_containers_that_can_write_nothing(stack):
    stack.start("migrate")
    assert stack.containers["migrate"].wait(120) == 0, stack.containers["migrate"].said()
    stack.start("sandbox", *ROLES)
    stack.wait_until_healthy(*ROLES)

    params = '{"user_id": "somebody~pay:1~", "server_id": "server-1"}'
    stack.ask("enqueue", "--account", "zeroxhost", "--order-id", "polled", "--params", params, "--json")
    nebulox = ("--account", "nebulox", "--order-id", "called-back~pay:1~", "--price", "12.50", "--currency", "EUR")
    stack.ask("enqueue", *nebulox, "--json")

    try:
        wait_until(lambda: statuses(stack) == ["paid", "paid"], "both are paid", 240)
    except AssertionError:
        pytest.fail(f"not both are paid: {stack.ask('list', '--json')}\n{stack.said()}")
    for name in ROLES:
        touched = stack.containers[name].run("/opt/invoices/bin/python", "-c", "open('/var/lib/invoices/x', 'w')")
        assert "Read-only file system" in touched.stderr, name
    stops(stack)


def statuses(stack):
    return [one["status"] for one in stack.ask("list", "--json")]


def stops(stack):
    """SIGTERM, as `docker stop` sends it: each ends by itself, in time, and says that it was no error."""
    for name in ROLES:
        stack.containers[name].send(signal.SIGTERM)
    assert {name: stack.containers[name].wait(STOP_SECONDS) for name in ROLES} == dict.fromkeys(ROLES, 0)


def test_only_a_process_that_stands_still_is_unhealthy(stack):
    """Whatever is away is no reason to restart anything."""
    stack.start("migrate")
    assert stack.containers["migrate"].wait(120) == 0, stack.containers["migrate"].said()
    stack.start(*ROLES)
    stack.wait_until_healthy(*ROLES)

    stack.valkey.shut()
    stack.database.shut()
    for name in ROLES:
        assert stack.containers[name].is_healthy(), f"{name}: {stack.containers[name].said()[-2000:]}"

    for name in ROLES:
        stack.containers[name].send(signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        assert list(threads.map(lambda name: stack.containers[name].is_healthy(), ROLES)) == [False] * len(ROLES)
    for name in ROLES:
        stack.containers[name].send(signal.SIGCONT)
    for name in ROLES:
        assert stack.containers[name].is_healthy(), name
