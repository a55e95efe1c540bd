"""What the README says to paste works as pasted, as far as no server of yours is needed for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from config.settings import load_settings
from workers.cli.main import COMMANDS
from workers.http.address import AddressGuard

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(name):
    """The commands under a mark of this name."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\n(.*?)\n```", README, re.DOTALL)
    assert found is not None, name
    return found[1]


def environment_after(commands):
    """The variables that are set by pasting these lines into a shell that has none."""
    code = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(b'='.join(i) for i in os.environb.items()))"
    script = f'{commands}\nexec {sys.executable} -c "{code}"'
    ran = subprocess.run(["sh", "-euc", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    return dict(item.split("=", 1) for item in ran.stdout.decode().split("\0"))


def test_the_settings_to_run_it_for_real_are_settings(tmp_path):
    ours = "\n".join(line for line in block("run it for real").splitlines() if line.startswith("export "))
    yours = block("your accounts").rpartition("\nsu ")[0]
    settings = load_settings(environment_after(f"{ours}\n{yours}"))
    assert sorted(account.base_url for account in settings.accounts.values()) == [
        "https://0xhost.net",
        "https://api.nebulox.io",
    ]
    assert len(settings.given_secret_keys) == 1


def test_the_endpoint_of_the_local_way_is_one_that_may_be_added():
    commands = block("local endpoint")
    allowed = re.search(r"INVOICES_WEBHOOK_ALLOW=(\S+)", commands)
    url = re.search(r"endpoints add (\S+)", commands)
    assert allowed is not None
    assert url is not None
    assert AddressGuard(allowed[1]).check_url(url[1]).port == 8080


def test_every_command_stands_in_the_table():
    table = README.partition("\n## Commands\n")[2].partition("\n## ")[0]
    told = {name.split()[0] for name in re.findall(r"`([a-z][a-z -]*)`", table)}
    assert set(COMMANDS) - told == set()


def test_what_make_up_starts_takes_the_shells_place():
    """A TERM to it would otherwise end the shell alone, and leave all that it started."""
    ran = subprocess.run(["make", "-n", "up"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r'^PATH="\S+" exec \S*/invoices up', ran.stdout, re.MULTILINE), ran.stdout


def test_the_demo_goes_on_with_keep():
    ran = subprocess.run(["make", "-n", "demo", "KEEP=1"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"^exec \S*/invoices demo --stay$", ran.stdout, re.MULTILINE), ran.stdout


def test_endpoints_add_says_the_default_that_the_contract_names(invoices):
    assert "[default: invoice.*]" in " ".join(invoices("endpoints", "add", "--help").out.split())
