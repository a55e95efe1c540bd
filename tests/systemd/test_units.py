"""The units: what systemd itself says of them, and what they promise of the processes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.celeryconfig import WORKER
from workers.embedded.procfile import read_procfile
from workers.queue.lifespan import DRAIN_SECONDS
from workers.web.server import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
#: Of `systemd-analyze security` (1.2 by systemd 252): 0 is a service that can do nothing, 10 one that can do all.
MOST_EXPOSED = 1.5
ALIKE = "# From here on alike in all units"
PROGRAM = "/opt/invoices/bin/invoices"
#: What systemd before 254 says of lines that it ignores.
NEWER = re.compile(r"Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)' in section '?\[?Service\]?'?, ignoring")


@pytest.fixture(scope="module")
def analyze():
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: nobody else can say what systemd thinks of the units")

    def run(*arguments):
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=180, check=False)
        return ran.returncode, [line for line in (ran.stdout + ran.stderr).splitlines() if not NEWER.search(line)]

    return run


def read(unit):
    """Its lines, without comments, by key; several values of a key in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def role_of(unit):
    return unit.name.removeprefix("invoices-").removesuffix(".service").removesuffix("@")


PROCESSES = [unit for unit in UNITS if role_of(unit) != "migrate"]


def test_each_process_of_the_procfile_has_a_unit_and_nobody_else():
    roles = {spec.name for spec in read_procfile(ROOT / "Procfile")}
    assert {role_of(unit) for unit in UNITS} == roles | {"migrate"}
    assert {read(unit)["ExecStart"][0].split()[:2][1] for unit in UNITS} == roles | {"migrate"}


def test_systemd_takes_every_line(analyze, tmp_path):
    """In a copy whose program exists: verify looks for it."""
    for unit in [*UNITS, *(ROOT / "deploy" / "systemd").glob("*.target")]:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    code, said = analyze("verify", "--man=no", *(str(path) for path in sorted(tmp_path.iterdir())))
    assert (code, [line for line in said if "invoices" in line]) == (0, [])


def test_systemd_finds_a_line_that_is_wrong(analyze, tmp_path):
    (tmp_path / "bad.service").write_text("[Service]\nExecStart=/bin/true\nProtectSystm=strict\n")
    _, said = analyze("verify", "--man=no", str(tmp_path / "bad.service"))
    assert any("ProtectSystm" in line for line in said)


@pytest.mark.parametrize("unit", UNITS, ids=role_of)
def test_it_can_do_little_harm(analyze, unit):
    code, said = analyze("security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", str(unit))
    assert code == 0, said[-1]


def test_the_threshold_is_one_that_a_bare_unit_misses(analyze, tmp_path):
    (tmp_path / "bare.service").write_text("[Service]\nExecStart=/bin/true\n")
    code, _ = analyze(
        "security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", str(tmp_path / "bare.service")
    )
    assert code != 0


def test_all_units_are_hardened_alike():
    assert len({unit.read_text().partition(ALIKE)[2].partition("\n\n")[0] for unit in UNITS}) == 1
    assert all(ALIKE in unit.read_text() for unit in UNITS)


@pytest.mark.parametrize("unit", PROCESSES, ids=role_of)
def test_a_stop_waits_longer_than_the_drain(unit):
    longest = max(DRAIN_SECONDS + 5, float(str(WORKER["worker_soft_shutdown_timeout"])), STOP_SECONDS)
    assert int(read(unit)["TimeoutStopSec"][0]) >= longest + (20 if role_of(unit) != "beat" else 0)


@pytest.mark.parametrize("unit", PROCESSES, ids=role_of)
def test_it_is_watched_and_never_given_up(unit):
    found = read(unit)
    assert (found["Type"], found["NotifyAccess"], found["Restart"]) == (["notify"], ["main"], ["always"])
    assert int(found["WatchdogSec"][0]) >= 30  # shorter, and a busy machine would kill what is only slow
    assert found["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("unit", UNITS, ids=role_of)
def test_secrets_are_credentials(unit):
    assert read(unit)["LoadCredential"] == ["invoices:/etc/invoices/credentials"]
    assert "INVOICES_SECRET_KEY_FILE=%d/invoices_secret_key" in read(unit)["Environment"]


def test_two_workers_of_a_host_have_different_names():
    for role in ("intake", "worker"):
        (command,) = read(ROOT / "deploy" / "systemd" / f"invoices-{role}@.service")["ExecStart"]
        assert command == f"{PROGRAM} {role} -n {role}-%i@%%h"
