"""README's "Run it for real", pasted as it is into an empty Debian: PostgreSQL and Redis are Debian's own."""

from __future__ import annotations

import json
import re

import pytest

from tests.contracts.sandbox_client import wait_until
from tests.release import __main__ as release
from tests.release.debian import EmptyDebian, Kept, Unavailable
from tests.release.test_dist import status_of
from tests.release.tree import ROOT, release_time

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(1700)]
READY_SECONDS = 900  #: packages are unpacked meanwhile
PAID_SECONDS = 180
#: The variables of the pasted lines, in another shell of that machine.
SECOND_SHELL = "export $(cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep '^INVOICES_[BDS]' | sort -u)"


@pytest.fixture(scope="module")
def lines():
    """The README's."""
    found = re.search(r"<!-- run it for real -->\n```\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def debian(lines, tmp_path):
    """Empty, with a folder dist/ and nothing else of ours."""
    packages = re.search(r"apt-get install -y --no-install-recommends ([a-z0-9 -]+) &&", lines)
    assert packages is not None
    try:
        kept = Kept(packages[1].split(), ROOT / "deploy/requirements/run.txt")
    except Unavailable as lack:
        pytest.skip(f"no empty Debian: {lack}")
    try:
        machine = EmptyDebian(kept, tmp_path)
        machine.dist.mkdir(parents=True)
        release.make(machine.dist, release_time())
        with machine:
            yield machine
    except Unavailable as lack:
        pytest.skip(f"no empty Debian: {lack}")
    finally:
        kept.close()


def said_by(ended):
    """What a command printed; None where it failed."""
    return ended.stdout if ended.returncode == 0 else None


def test_the_five_lines_of_the_readme_take_an_order_to_its_payment(debian, lines, tmp_path):
    assert len(lines.splitlines()) == 5
    log = tmp_path / "pasted.log"

    def ask(command):
        """In a second shell, as the user of the README."""
        return debian.run(f"{SECOND_SHELL}\nsu invoices -c '{command}'")

    with log.open("w") as output:
        pasted = debian.start(lines, stdout=output, stderr=output)
    wait_until(lambda: "invoices is ready" in log.read_text() or pasted.poll() is not None, READY_SECONDS)
    assert pasted.poll() is None, log.read_text()
    order = "--account nebulox --order-id real-1~pay:1~ --price 12.50 --currency EUR"
    sent = ask(f"invoices enqueue {order}")
    assert sent.returncode == 0, sent.stderr
    wait_until(lambda: status_of(ask("invoices show real-1~pay:1~ --json")) == "paid", PAID_SECONDS)
    # Asked again: on a busy machine it may be the doctor that is too slow for its own limits.
    report = wait_until(lambda: said_by(ask("invoices doctor --json")), PAID_SECONDS)
    verdicts = {line["check"]: line["detail"] for line in map(json.loads, report.splitlines())}
    assert verdicts["database"].startswith("postgresql")
    assert verdicts["broker"].startswith("redis://localhost")
    files = debian.run("find /home/invoices -name invoices.db -o -name valkey").stdout
    assert files == "", "nothing is embedded"
