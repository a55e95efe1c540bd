"""Secrets from files: each setting that holds one takes a file's name instead, and no content is ever quoted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from config.knobs import KNOBS
from config.secret_files import MAX_SETTING_BYTES, is_open_to_others
from config.settings import SettingsError, load_settings
from config.told import SECRET, tell_settings
from tests.unit.settings_cases import KEY, account

CONTENT = "hunter2-secret"


@pytest.fixture
def secret(tmp_path):
    """Writes a file as its owner would, and returns its path as text."""

    def write(content: str | bytes, name="secret"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600)
        return str(path)

    return write


def refused(environ):
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert CONTENT not in str(caught.value)
    return str(caught.value)


def test_every_setting_that_holds_a_secret_can_come_from_a_file():
    by_file = {name for name, knob in KNOBS.items() if knob.may_be_file}
    assert by_file == SECRET | {"accounts", "database_url", "broker_url", "redis_url"}


def test_each_is_read_from_its_file_without_the_newline_at_its_end(secret):
    given = {
        "DATABASE_URL": f"postgresql://shop:{CONTENT}@db/invoices\n",
        "BROKER_URL": "redis://:broker-pw@redis/0\r\n",
        "REDIS_URL": "redis://:redis-pw@redis/1",
        "SECRET_KEY": f"{KEY}\n",
        "ACCOUNTS": "\ufeff" + account(api_key="api-pw"),
        "OIDC_CLIENT_SECRET": " oidc-pw\n",
    }
    environ = {f"INVOICES_{name}_FILE": secret(content, name) for name, content in given.items()}
    found = load_settings(environ | {"INVOICES_OIDC_ISSUER": "https://id.example", "INVOICES_OIDC_CLIENT_ID": "c"})

    assert found.database_url == f"postgresql+psycopg://shop:{CONTENT}@db/invoices"
    assert (found.broker_url, found.redis_url) == ("redis://:broker-pw@redis/0", "redis://:redis-pw@redis/1")
    assert {CONTENT, "broker-pw", "redis-pw", KEY, "api-pw", "oidc-pw"} <= set(found.secrets())
    assert {path.name for path in found.secret_files} == set(given)
    assert not any(one.value and CONTENT in one.value for one in tell_settings(found))


def test_a_settings_file_names_them_too_and_the_environment_wins(secret, tmp_path):
    key, url = secret(KEY, "key"), secret("redis://file", "url")
    file = tmp_path / "invoices.toml"
    file.write_text(f'secret_key_file = "{key}"\nbroker_url_file = "{url}"\n')
    environ = {"INVOICES_CONFIG": str(file)}

    assert load_settings(environ).broker_url == "redis://file"
    assert load_settings(environ | {"INVOICES_BROKER_URL": "redis://variable"}).broker_url == "redis://variable"
    other = {"INVOICES_BROKER_URL_FILE": secret("redis://variables-file", "other")}
    assert load_settings(environ | other).broker_url == "redis://variables-file"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (CONTENT * (MAX_SETTING_BYTES // 10), "holds more than 1,000,000 bytes"),
        (CONTENT.encode() + b"\xff", "is not UTF-8"),
        (CONTENT, None),
    ],
)
def test_a_file_that_can_not_be_used_is_named_and_not_quoted(secret, content, line):
    path = secret(content)
    if line is None:
        expected = "key 1 must be 32 bytes in URL-safe base64 (comma-separated, the newest first)"
    else:
        expected = f"{path} {line}"
    assert refused({"INVOICES_SECRET_KEY_FILE": path}) == f"INVOICES_SECRET_KEY_FILE: {expected}"


def test_what_is_missing_unreadable_or_no_file_is_told(secret, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, why in (
        ("/nowhere/key", "can't read /nowhere/key: No such file or directory"),
        (str(tmp_path), f"can't read {tmp_path}: Is a directory"),
        (f"{tmp_path}/pipe", f"can't read {tmp_path}/pipe: is no regular file"),
        ("/dev/zero", "can't read /dev/zero: is no regular file"),
    ):
        assert refused({"INVOICES_SECRET_KEY_FILE": place}) == f"INVOICES_SECRET_KEY_FILE: {why}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_of_somebody_else_is_told(secret, tmp_path):
    path = secret(KEY)
    (tmp_path / "secret").chmod(0)
    assert refused({"INVOICES_SECRET_KEY_FILE": path}).endswith(f"can't read {path}: Permission denied")


def test_a_secret_in_the_place_of_its_path_is_not_quoted():
    for value in (CONTENT, f"redis://:{CONTENT}@h"):
        line = refused({"INVOICES_BROKER_URL_FILE": value})
        assert line == "INVOICES_BROKER_URL_FILE: must be an absolute path, such as /run/secrets/name"


@pytest.mark.parametrize("place", ["/dev/zero", "huge"])
def test_a_settings_file_without_an_end_is_refused_too(tmp_path, place):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(MAX_SETTING_BYTES + 1)
    line = refused({"INVOICES_CONFIG": str(tmp_path / place)})
    assert line.startswith("INVOICES_CONFIG: ")
    assert line.endswith(("is no regular file", "holds more than 1,000,000 bytes"))


def test_a_setting_and_its_file_together_are_refused(secret):
    environ = {"INVOICES_SECRET_KEY": KEY, "INVOICES_SECRET_KEY_FILE": secret(KEY)}
    expected = "INVOICES_SECRET_KEY_FILE: INVOICES_SECRET_KEY is given too; give one of the two"
    assert refused(environ) == refused(dict(reversed(environ.items()))) == expected


def test_there_is_no_file_for_what_is_no_secret():
    assert "INVOICES_STREAM_FILE: there is no such setting" in refused({"INVOICES_STREAM_FILE": "/x"})
    assert "did you mean INVOICES_SECRET_KEY_FILE?" in refused({"INVOICES_SECRET_KEYFILE": "/x"})


@pytest.mark.parametrize("folder", ["$CREDENTIALS_DIRECTORY", "${CREDENTIALS_DIRECTORY}"])
def test_credentials_of_systemd_are_found_where_it_put_them(secret, tmp_path, folder):
    secret(KEY, "secret_key"), secret("provider-pw\n", "nebulox")
    accounts = account(api_key=f"file:{folder}/nebulox")
    environ = {"INVOICES_SECRET_KEY_FILE": f"{folder}/secret_key", "INVOICES_ACCOUNTS": accounts}

    found = load_settings(environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert [key.get_secret_value() for key in found.secret_keys()] == [KEY]
    assert found.accounts["shop"].api_key.get_secret_value() == "provider-pw"
    why = "CREDENTIALS_DIRECTORY is not set: systemd sets it for units that have LoadCredential="
    assert refused(environ) == f"INVOICES_SECRET_KEY_FILE: {why}"


@pytest.mark.parametrize(
    ("part", "url", "expected"),
    [
        ("database", "postgresql://shop@db/invoices", "postgresql+psycopg://shop:p%40ss%2F@db/invoices"),
        (
            "database",
            "postgresql://shop@/invoices?host=/run",
            "postgresql+psycopg://shop:p%40ss%2F@/invoices?host=/run",
        ),
        ("broker", "redis://redis:6379/0", "redis://:p%40ss%2F@redis:6379/0"),
        ("broker", "amqps://shop@a//;amqps://shop@b//", "amqps://shop:p%40ss%2F@a//;amqps://shop:p%40ss%2F@b//"),
        ("redis", "rediss://worker@redis/1", "rediss://worker:p%40ss%2F@redis/1"),
        (
            "broker",
            "sentinel://a;sentinel://b?master_name=m",
            "sentinel://:p%40ss%2F@a;sentinel://:p%40ss%2F@b?master_name=m",
        ),
    ],
)
def test_a_password_may_be_given_apart_from_its_address(secret, part, url, expected):
    environ = {"INVOICES_SECRET_KEY": KEY, "INVOICES_REDIS_URL": "redis://other", f"INVOICES_{part.upper()}_URL": url}
    for given in ({"PASSWORD": "p@ss/"}, {"PASSWORD_FILE": secret("p@ss/\n")}):
        found = load_settings(environ | {f"INVOICES_{part.upper()}_{name}": text for name, text in given.items()})
        assert getattr(found, f"{part}_url") == expected
        assert "p@ss/" in found.secrets()
        told = {one.name: one.value for one in tell_settings(found)}
        assert told[f"INVOICES_{part.upper()}_PASSWORD"] == "***"


def test_the_broker_s_password_is_redis_password_too_where_redis_has_no_address_of_its_own():
    environ = {"INVOICES_SECRET_KEY": KEY, "INVOICES_BROKER_URL": "redis://h", "INVOICES_BROKER_PASSWORD": "pw"}
    assert load_settings(environ).redis_url == "redis://:pw@h"


@pytest.mark.parametrize(
    ("name", "url", "line"),
    [
        ("DATABASE", "postgresql://u:other@db/i", "the address has a password already (INVOICES_DATABASE_URL)"),
        ("DATABASE", "postgresql://db/i", "the address must name the user: postgresql+psycopg://user@host"),
        ("DATABASE", "sqlite:////x", "an address of sqlite+pysqlite:// takes no password (INVOICES_DATABASE_URL)"),
        ("BROKER", "amqp://mq", "the address must name the user: amqp://user@host"),
        ("BROKER", "redis+socket:///x", "an address of redis+socket:// takes no password"),
        ("BROKER", "", "INVOICES_BROKER_URL is missing, which it belongs to"),
    ],
)
def test_a_password_that_fits_no_address_is_told(name, url, line):
    environ = {f"INVOICES_{name}_URL": url, f"INVOICES_{name}_PASSWORD": CONTENT, "INVOICES_SECRET_KEY": KEY}
    told = refused(environ | {"INVOICES_REDIS_URL": "redis://h"})
    assert told.startswith(f"INVOICES_{name}_PASSWORD: {line}")


def test_the_doctor_names_files_that_others_may_read(invoices, secret, tmp_path, monkeypatch):
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    files = [secret(KEY, "key"), secret("api-pw", "nebulox")]
    monkeypatch.setenv("INVOICES_SECRET_KEY_FILE", files[0])
    monkeypatch.setenv("INVOICES_ACCOUNTS", json.dumps(json.loads(account(api_key=f"file:{files[1]}"))))

    def told():
        lines = invoices("doctor", "--json").lines
        return [line["command"] for line in lines if line["cause"] == "open_to_others" and line["check"] == "settings"]

    assert told() == []
    for file in files:
        Path(file).chmod(0o644)
    assert told() == [f"chmod o-r {' '.join(files)}"]


def test_a_secret_that_a_container_got_is_not_called_open_to_others(secret, monkeypatch):
    """It is mounted alone, and often has to be readable by all: the container's user is none that its host knows."""
    path = Path(secret(KEY))
    monkeypatch.setattr("os.path.ismount", lambda place: place == path)
    path.chmod(0o644)
    for folder in path.parents:
        folder.chmod(folder.stat().st_mode | 0o001)
    assert not is_open_to_others(path)
    assert is_open_to_others(path.rename(path.with_name("elsewhere")))


def test_a_file_in_a_folder_that_others_can_not_enter_is_not_open_to_them(secret, tmp_path):
    path = tmp_path / "private" / "key"
    path.parent.mkdir()
    path.write_text(KEY)
    path.chmod(0o644)
    path.parent.chmod(0o700)
    assert not is_open_to_others(path)


@pytest.mark.parametrize("written", [b"\xef\xbb\xbf%s\r\n", b"%s\r\n", b"\n %s \n"])
def test_what_an_editor_of_windows_leaves_around_a_text_is_no_part_of_it(secret, tmp_path, monkeypatch, written):
    """A byte order mark and CRLF: in a secret's file, in the settings' file, in the kept key."""
    path = secret(written % KEY.encode())
    file = secret(written % f'secret_key_file = "{path}"\r\nretention_days = 9'.encode(), "invoices.toml")
    found = load_settings({"INVOICES_CONFIG": file})
    assert (found.secret_keys()[0].get_secret_value(), found.retention_days) == (KEY, 9)
    Path(path).rename(tmp_path / "secret.key")
    embedded = load_settings({"INVOICES_HOME": str(tmp_path)})
    assert [key.get_secret_value() for key in embedded.secret_keys()] == [KEY]
