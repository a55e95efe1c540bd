"""The key that secrets are sealed with, and that no secret is shown."""

from __future__ import annotations

import stat
import threading

import pytest

from config.settings import SettingsError, load_settings
from tests.unit.settings_cases import KEY, OTHER_KEY, account


def test_a_secret_key_is_required_as_soon_as_something_is_not_embedded():
    with pytest.raises(SettingsError, match="INVOICES_SECRET_KEY: is required unless both"):
        load_settings({"INVOICES_BROKER_URL": "redis://h"})


def test_several_secret_keys_keep_their_order():
    settings = load_settings({"INVOICES_SECRET_KEY": f"{KEY}, {OTHER_KEY}"})

    assert [key.get_secret_value() for key in settings.secret_keys()] == [KEY, OTHER_KEY]


def test_an_embedded_secret_key_is_made_once_and_only_for_us(tmp_path):
    settings = load_settings({"INVOICES_HOME": str(tmp_path / "home")})
    assert not settings.home.exists()
    found = []
    threads = [threading.Thread(target=lambda: found.append(settings.secret_keys())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len({keys[0].get_secret_value() for keys in found}) == 1
    assert [path.name for path in settings.home.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((settings.home / "secret.key").stat().st_mode) == 0o600


def test_a_damaged_secret_key_is_named_and_not_shown(tmp_path):
    (tmp_path / "secret.key").write_text("hidden")

    with pytest.raises(SettingsError, match=r"secret\.key: key 1 must be 32 bytes") as caught:
        load_settings({"INVOICES_HOME": str(tmp_path)}).secret_keys()

    assert "hidden" not in str(caught.value)


def test_no_secret_is_in_the_settings_text():
    settings = load_settings(
        {
            "INVOICES_DATABASE_URL": "postgresql://u:dbpassword@h/db",
            "INVOICES_BROKER_URL": "redis://:brokerpassword@h",
            "INVOICES_SECRET_KEY": KEY,
            "INVOICES_ACCOUNTS": account(api_key="account-key", previous_api_key="former-key"),
        }
    )

    for secret in ("dbpassword", "brokerpassword", KEY, "account-key", "former-key"):
        assert secret not in repr(settings)
        assert secret in settings.secrets()
