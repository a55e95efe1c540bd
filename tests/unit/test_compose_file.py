"""deploy/compose.yaml without a container: its settings are settings, and each of our services is closed."""

from __future__ import annotations

import re

import pytest

from config.settings import load_settings
from tests.images.build import ROOT
from tests.images.composition import OURS, ROLES, read_compose
from workers.cli.main import COMMANDS
from workers.queue.lifespan import DRAIN_SECONDS
from workers.web.server import STOP_SECONDS

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECRETS = {"database_password": "pw-of-the-database", "broker_password": "pw-of-the-broker", "secret_key": KEY}


@pytest.fixture
def compose(tmp_path):
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    return read_compose({"SECRETS": str(tmp_path)})


@pytest.mark.parametrize("name", ["migrate", *ROLES])
def test_its_settings_are_settings_and_its_secrets_are_read_from_files(compose, name):
    service = compose["services"][name]
    files = {one: compose["secrets"][one]["file"] for one in service["secrets"]}
    files["accounts"] = files["accounts"].replace("./", "deploy/", 1)
    environment = {
        key: re.sub("^/run/secrets/(.*)$", lambda found: str(ROOT / files[found[1]]), value)
        for key, value in service["environment"].items()
    }
    settings = load_settings(environment)
    assert service["command"][0] in COMMANDS
    assert sorted(settings.accounts) == ["nebulox", "zeroxhost"]
    assert all(account.base_url.startswith("http://sandbox:8410/") for account in settings.accounts.values())
    assert set(SECRETS.values()) <= set(settings.secrets())
    assert not any(secret in str(service) for secret in SECRETS.values())


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_can_write_nothing_and_gain_nothing(compose, name):
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "volumes" not in service


def test_nothing_is_killed_before_it_has_drained(compose):
    """A worker waits for its pump, and five seconds more; the web process for requests under way."""
    for name in ROLES:
        seconds = float(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert seconds > max(DRAIN_SECONDS + 5, STOP_SECONDS) + 10


def test_only_who_has_to_gets_out_and_only_this_machine_gets_in(compose):
    services = compose["services"]
    assert compose["networks"]["inside"]["internal"] is True
    assert {name for name, one in services.items() if "outside" in one["networks"]} == {"worker", "web", "sandbox"}
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_role_waits_for_the_tables_and_the_broker(compose):
    for name in ROLES:
        after = compose["services"][name]["depends_on"]
        assert after == {
            "migrate": {"condition": "service_completed_successfully"},
            "valkey": {"condition": "service_healthy"},
        }
    assert compose["services"]["migrate"]["restart"] == "no"


def test_the_sandbox_is_there_for_the_demo_only(compose):
    assert {name: one["profiles"] for name, one in compose["services"].items() if "profiles" in one} == {
        "sandbox": ["demo"]
    }


def test_every_secret_that_is_declared_is_used_and_the_other_way_round(compose):
    used = {name for one in compose["services"].values() for name in one.get("secrets", [])}
    assert used == set(compose["secrets"])
