"""Where data goes without INVOICES_HOME, of a wheel that is installed."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from config import home
from config.home import default_home
from config.settings import SettingsError, load_settings
from workers import shipped

CLONE = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def installed(monkeypatch, tmp_path):
    """As if the code did not run from a clone."""
    monkeypatch.setattr(home, "_ROOT", tmp_path)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.local/share/invoices"),
        ({"HOME": "/home/ann", "XDG_DATA_HOME": "/data/ann"}, "/data/ann/invoices"),
        ({"HOME": "/home/ann", "XDG_DATA_HOME": "not/absolute"}, "/home/ann/.local/share/invoices"),
        ({"HOME": "/"}, "/.local/share/invoices"),
    ],
)
def test_data_are_the_users(environ, expected):
    assert default_home(environ) == Path(expected)
    assert load_settings(environ).home == Path(expected)


def test_without_a_variable_the_home_is_the_one_that_the_machine_knows():
    known = pwd.getpwuid(os.geteuid()).pw_dir
    assert default_home({}) == Path(known, ".local/share/invoices")


def test_a_user_whom_the_machine_does_not_know_has_settings_too(monkeypatch):
    """A container's numeric user, with PostgreSQL and Redis elsewhere, keeps no files and needs no home."""
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert default_home({}) == Path("/.local/share/invoices")


def test_a_home_that_can_not_be_in_an_address_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"^INVOICES_HOME: must be a folder without \? in its path"):
        load_settings({"HOME": "/home/what?"})


def test_a_clone_keeps_its_data_in_itself(monkeypatch):
    monkeypatch.undo()
    assert default_home({"HOME": "/home/ann"}) == CLONE / "var"
    assert load_settings({"HOME": "/home/ann"}).home == CLONE / "var"
    assert shipped.ROOT == CLONE
