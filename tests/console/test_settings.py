"""The settings as they are: every one, where it came from, and no secret of any."""

from __future__ import annotations

import base64
import json

import pytest

from config.knobs import KNOBS
from config.settings import load_settings
from config.told import tell_settings
from domain.permissions import Role
from tests.console.ground import Ground
from tests.console.scene import ACCOUNTS
from workers.store.processes import Heartbeat

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
SECRETS = ("db-secret-1", "mq-secret-2", "redis-secret-3", "api-secret-4", "older-secret-5", KEY, "oidc-secret-6")
ENVIRON = {
    "INVOICES_DATABASE_URL": "postgresql+psycopg://shop:db-secret-1@db/invoices",
    "INVOICES_BROKER_URL": "amqp://shop:mq-secret-2@mq//",
    "INVOICES_REDIS_URL": "redis://:redis-secret-3@redis/0",
    "INVOICES_SECRET_KEY": KEY,
    "INVOICES_OIDC_ISSUER": "https://id.example",
    "INVOICES_OIDC_CLIENT_ID": "console",
    "INVOICES_OIDC_CLIENT_SECRET": "oidc-secret-6",
    "INVOICES_PUBLIC_URL": "https://pay.example",
    "INVOICES_METRICS_PORT": "9400+",
    "INVOICES_ACCOUNTS": json.dumps(
        {
            "nebulox": {
                "provider": "nebulox",
                "base_url": "https://nebulox.example",
                "api_key": "api-secret-4",
                "previous_api_key": "older-secret-5",
            }
        }
    ),
}


def told(environ):
    return {one.name: one for one in tell_settings(load_settings(environ))}


def test_every_setting_is_told_with_where_it_came_from(tmp_path):
    file = tmp_path / "invoices.toml"
    file.write_text('retention_days = 30\nlog_level = "warning"\n')
    found = told({"INVOICES_CONFIG": str(file), "INVOICES_LOG_LEVEL": "debug"})

    assert set(found) == {f"INVOICES_{name.upper()}" for name in KNOBS}
    assert (found["INVOICES_RETENTION_DAYS"].value, found["INVOICES_RETENTION_DAYS"].origin) == ("30", "file")
    assert (found["INVOICES_LOG_LEVEL"].value, found["INVOICES_LOG_LEVEL"].origin) == ("debug", "environment")
    assert (found["INVOICES_WEB_PORT"].value, found["INVOICES_WEB_PORT"].origin) == ("8420", "default")
    assert (found["INVOICES_PUBLIC_URL"].value, found["INVOICES_PUBLIC_URL"].origin) == (None, "decided")


def test_no_secret_is_left_in_any_value():
    found = told(ENVIRON)
    values = " ".join(one.value or "" for one in found.values())

    for secret in SECRETS:
        assert secret not in values
    assert found["INVOICES_DATABASE_URL"].value == "postgresql+psycopg://***@db/invoices"
    assert found["INVOICES_SECRET_KEY"].value == "***"
    assert found["INVOICES_OIDC_CLIENT_SECRET"].value == "***"
    assert found["INVOICES_METRICS_PORT"].value == "9400+"
    assert found["INVOICES_ACCOUNTS"].value == "nebulox"


@pytest.fixture
def page(scene):
    """The page of an installation whose every secret is set."""
    ground = Ground(scene, settings=tell_settings(load_settings(ENVIRON)))
    yield lambda role="admin", **options: ground.get("/console/settings", role, **options)
    ground.close()


def test_no_secret_appears_anywhere_in_the_page(page):
    answered = page()

    assert answered.status_code == 200
    for secret in (*SECRETS, *(account.api_key.get_secret_value() for account in ACCOUNTS.values())):
        assert secret not in answered.text
        assert secret not in str(answered.headers)
    assert "postgresql+psycopg://***@db/invoices" in answered.text
    assert 'href="/console/accounts/nebulox"' in answered.text


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_admins_see_the_settings(page, role):
    answered = page(role)

    assert answered.status_code == 403
    assert "pay.example" not in answered.text
    assert 'href="/console/settings"' not in answered.text


def test_who_sees_some_accounts_only_does_not_see_them_either(page):
    assert page(accounts="nebulox").status_code == 403


def test_what_runs_is_told(page, scene):
    assert "No process was seen" in page().text

    Heartbeat(scene.database, ("intake", "worker"), ACCOUNTS).write()
    text = page().text
    assert "2 seen in the last 15 s" in text
    assert "up to date" in text
    assert "SQLite" in text
    assert "deploy/SETTINGS.md" in text
