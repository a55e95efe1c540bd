"""The version of a release, which processes know by themselves."""

from __future__ import annotations

import re
from importlib.metadata import version

import yaml

from workers.shipped import ROOT, VERSION


def test_the_package_and_the_chart_have_the_version_that_the_code_says():
    chart = yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text())

    assert version("invoices") == chart["appVersion"] == VERSION


def test_no_process_asks_the_installed_package_which_is_missing_while_it_is_installed_anew(invoices):
    rooms = [path for room in ("config", "domain", "workers") for path in (ROOT / room).rglob("*.py")]
    asking = [path for path in rooms if re.search(r"""importlib.metadata|package_name=""", path.read_text())]

    assert asking == [ROOT / "workers/transport/private.py"]  # of Celery's and kombu's
    assert invoices("--version").out == f"invoices, version {VERSION}\n"
