"""Settings: what is taken, what is refused and in which words."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from config.accounts import PROVIDERS
from config.settings import SettingsError, load_settings
from config.urls import embedded_socket, redact_url
from tests.unit.settings_cases import KEY, account
from workers.embedded.valkey import address
from workers.providers import registry


def test_without_any_setting_everything_is_embedded_in_the_clone_whatever_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = load_settings({})

    home = Path(__file__).resolve().parents[2] / "var"
    assert settings.home == home
    assert settings.database_url == f"sqlite+pysqlite:///{home}/invoices.db"
    assert settings.broker_url == f"redis+socket://{embedded_socket(home)}"
    assert settings.redis_url == f"unix://{embedded_socket(home)}"
    assert (settings.embedded_broker, settings.embedded_database) == (True, True)
    assert (settings.stream, settings.stream_maxlen) == ("invoices:events", 1_000_000)
    assert settings.monitor_minutes == 1440
    assert (settings.log_format, settings.log_level) == (None, "info")
    assert list(tmp_path.iterdir()) == []


def test_the_default_accounts_are_the_two_sandboxes():
    accounts = load_settings({"INVOICES_SANDBOX_PORT": "9000"}).accounts

    assert {name: (a.provider, a.base_url, a.api_key.get_secret_value()) for name, a in accounts.items()} == {
        "nebulox": ("nebulox", "http://127.0.0.1:9000/nebulox", "sandbox-nebulox-key"),
        "zeroxhost": ("zeroxhost", "http://127.0.0.1:9000/zeroxhost", "sandbox-zeroxhost-key"),
    }


def test_the_known_providers_are_the_registered_ones():
    assert set(PROVIDERS) == set(registry.PROVIDERS)


@pytest.mark.parametrize("home", ["/srv/invoices", "/srv/with space", "/srv/" + "x" * 120, "/srv/ä?%"])
def test_the_embedded_broker_is_where_the_settings_say(home):
    assert embedded_socket(Path(home)) == address(Path(home)).socket_path


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("DATABASE_URL", "mysql://h/db", "must be an address starting with postgresql+psycopg:// or sqlite:///"),
        ("DATABASE_URL", "postgresql://h", "must name a database: postgresql+psycopg://user:password@host/database"),
        ("DATABASE_URL", "postgresql://h:port/db", "is not an address with a valid host and port"),
        (
            "DATABASE_URL",
            "sqlite://",
            "must name a file: sqlite:////absolute/path (processes share it, so not in memory)",
        ),
        (
            "BROKER_URL",
            "http://h",
            "must be an address starting with redis://, rediss://, redis+socket://, sentinel://, amqp:// or amqps://",
        ),
        ("BROKER_URL", "redis://", "must name a host: redis://host:port"),
        ("BROKER_URL", "redis+socket://h/x", "must be redis+socket:///absolute/path"),
        ("BROKER_URL", "sentinel://h:26379", "must name the master: sentinel://host:26379?master_name=NAME"),
        ("BROKER_URL", "sentinel://h?master_name=", "must name the master: sentinel://host:26379?master_name=NAME"),
        (
            "BROKER_URL",
            "sentinel://h?master_name=m&ssl_cert_reqs=required",
            "ssl_cert_reqs is taken with rediss and amqps:// only",
        ),
        (
            "BROKER_URL",
            "sentinel://h?master_name=m&master=x",
            "'master' is not taken; a sentinel:// address has master_name, sentinel_username, sentinel_password",
        ),
        (
            "BROKER_URL",
            "sentinel://:a@h;sentinel://:b@i?master_name=m",
            "must have one user, password and database for all sentinels (they are the master's)",
        ),
        (
            "REDIS_URL",
            "sentinel://h/one?master_name=m",
            "must have a number as database: sentinel://host:26379/0?master_name=NAME",
        ),
        (
            "BROKER_URL",
            "sentinel://h;redis://i?master_name=m",
            "must name sentinels only: sentinel://host:26379;sentinel://host:26379?master_name=NAME",
        ),
        ("BROKER_URL", "rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs must be required or optional or none"),
        ("BROKER_URL", "rediss://h?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs: can't read /nowhere.pem"),
        (
            "BROKER_URL",
            "rediss://h?ssl_ca=/x",
            "'ssl_ca' is not taken; TLS has ssl_cert_reqs, ssl_check_hostname, ssl_ca_certs, ssl_certfile, "
            "ssl_keyfile, ssl_password",
        ),
        ("REDIS_URL", "redis://h?ssl_cert_reqs=none", "ssl_cert_reqs is taken with rediss and amqps:// only"),
        (
            "REDIS_URL",
            "amqp://h",
            "must be an address starting with redis://, rediss://, unix:// or sentinel://",
        ),
        ("HOME", "/srv/a?b", "must be a folder without ? in its path"),
        ("ACCOUNTS", "[]", 'must be an object of accounts by name, such as {"shop": {"provider": "nebulox", …}}'),
        *(
            ("ACCOUNTS", given, f'{why}: must be an object such as {{"shop": {{"provider": "nebulox", …}}}}')
            for given, why in (
                ('{"a": {}, "a": {}}', "is not JSON: a name stands twice in an object"),
                ('{"a": {"api_key": "x", "api_key": "y"}}', "is not JSON: a name stands twice in an object"),
                ("\udcff", "is not JSON"),
            )
        ),
        ("ACCOUNTS", "{", 'is not JSON: must be an object such as {"shop": {"provider": "nebulox", …}}'),
        ("ACCOUNTS", '{"shop": 1}', "shop: must be an object with provider, base_url and api_key"),
        ("ACCOUNTS", account(provider="paypal"), "shop.provider: must be nebulox or zeroxhost"),
        ("ACCOUNTS", account(name="x"), "shop.name: unknown field (the account's name is its key)"),
        (
            "ACCOUNTS",
            account(callback_secret="s3cret-value"),
            "shop.callback_secret: leave it out, "
            "callbacks of every provider here are signed with its api_key (or previous_api_key)",
        ),
        (
            "ACCOUNTS",
            account(callback_key="s3cret-value"),
            "shop.callback_key: leave it out, "
            "no provider here signs some of its callbacks with another key than its api_key",
        ),
        ("ACCOUNTS", account(timeout_second=5), "shop.timeout_second: unknown field (did you mean timeout_seconds?)"),
        ("ACCOUNTS", account(timeout_seconds=0), "shop.timeout_seconds: must be greater than 0.0"),
        ("ACCOUNTS", account(refund_watch_days=-1), "shop.refund_watch_days: must be at least 0"),
        ("ACCOUNTS", account(refund_watch_days=3651), "shop.refund_watch_days: must be at most 3650"),
        ("ACCOUNTS", account(refund_watch_days="a month"), "shop.refund_watch_days: is not a decimal number"),
        ("ACCOUNTS", account(on_doubt="maybe"), "shop.on_doubt: must be 'retry' or 'hold'"),
        ("ACCOUNTS", account(api_key="env:NOPE"), "shop.api_key: the environment variable NOPE is not set"),
        (
            "ACCOUNTS",
            account(api_key="file:/nowhere/key"),
            "shop.api_key: can't read /nowhere/key: No such file or directory",
        ),
        (
            "ACCOUNTS",
            account(base_url="ftp://x"),
            "shop.base_url: must be an http or https address without user, query or fragment",
        ),
        ("SECRET_KEY", "secret-value", "key 1 must be 32 bytes in URL-safe base64 (comma-separated, the newest first)"),
        (
            "SECRET_KEY",
            f"{KEY},secret-value",
            "key 2 must be 32 bytes in URL-safe base64 (comma-separated, the newest first)",
        ),
        ("WEBHOOK_ALLOW", "good.example,b ad", "'b ad' must be a host, host:port or CIDR"),
        ("WEBHOOK_ALLOW", "good.example:99999", "'good.example:99999' must be a host, host:port or CIDR"),
        ("STREAM", "a\nb", "must be a text without control characters"),
        ("STREAM_MAXLEN", "0", "must be a whole number from 1 to 999999999999"),
        ("STREAM_MAXLEN", "1e6", "must be a whole number from 1 to 999999999999"),
        ("MONITOR_MINUTES", "-1", "must be a number of minutes from 0 to 525600"),
        ("MONITOR_MINUTES", "NaN", "must be a number of minutes from 0 to 525600"),
        ("LOG_FORMAT", "xml", "must be console or json"),
        ("LOG_LEVEL", "loud", "must be debug, info, warning or error"),
        ("SANDBOX_PORT", "70000", "must be a whole number from 1 to 65535"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_what_is_allowed(name, value, line):
    with pytest.raises(SettingsError) as caught:
        load_settings({f"INVOICES_{name}": value})

    assert str(caught.value) == f"INVOICES_{name}: {line}"
    assert "secret-value" not in str(caught.value)


def test_an_unknown_variable_is_refused_with_a_suggestion():
    with pytest.raises(
        SettingsError, match=r"INVOICES_STREEM: there is no such setting \(did you mean INVOICES_STREAM"
    ):
        load_settings({"INVOICES_STREEM": "x"})


def test_variables_of_the_tests_and_empty_ones_are_passed_over():
    assert load_settings({"INVOICES_TEST_POSTGRES_URL": "x", "INVOICES_STREAM": ""}).stream == "invoices:events"


def test_the_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "invoices.toml"
    file.write_text('stream = "from-file"\nlog_level = "debug"\nmonitor_minutes = 0.5\n')

    settings = load_settings({"INVOICES_CONFIG": str(file), "INVOICES_STREAM": "from-environment"})

    assert (settings.stream, settings.log_level) == ("from-environment", "debug")
    assert settings.monitor_minutes == Decimal("0.5")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("streem = 'x'", r"streem in .*: there is no such setting \(did you mean stream\?\)"),
        ("config = 'x'", r"config in .*: there is no such setting"),
        ("stream = 5", r"stream in .*: must be a text without control characters"),
        ("secret_key = 'hidden' x", r"INVOICES_CONFIG: .* is not TOML \(at line 1, column \d+\)$"),
    ],
)
def test_a_wrong_file_names_the_key(tmp_path, content, line):
    file = tmp_path / "invoices.toml"
    file.write_text(content)

    with pytest.raises(SettingsError, match=line) as caught:
        load_settings({"INVOICES_CONFIG": str(file)})

    assert "hidden" not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(SettingsError, match=r"INVOICES_CONFIG: can't read /nowhere\.toml: No such file"):
        load_settings({"INVOICES_CONFIG": "/nowhere.toml"})


@pytest.mark.parametrize(
    ("broker", "redis"),
    [
        ("redis://:pw@h:6379/2", "redis://:pw@h:6379/2"),
        ("rediss://h/1", "rediss://h/1"),
        ("redis+socket:///run/v.sock?virtual_host=3", "unix:///run/v.sock?db=3"),
        ("redis+socket:///run/v.sock", "unix:///run/v.sock"),
        ("sentinel://a:1?master_name=m;sentinel://b:1", "sentinel://a:1?master_name=m;sentinel://b:1"),
    ],
)
def test_redis_is_the_broker_s_where_that_is_one(broker, redis):
    settings = load_settings({"INVOICES_BROKER_URL": broker, "INVOICES_SECRET_KEY": KEY})

    assert (settings.redis_url, settings.embedded_broker) == (redis, False)


def test_with_amqp_a_redis_is_required():
    given = {"INVOICES_BROKER_URL": "amqp://u:pw@h//", "INVOICES_SECRET_KEY": KEY}
    with pytest.raises(SettingsError, match="INVOICES_REDIS_URL: is required with an amqp:// broker"):
        load_settings(given)

    assert load_settings(given | {"INVOICES_REDIS_URL": "redis://r"}).redis_url == "redis://r"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_reached_through_psycopg(scheme):
    settings = load_settings({"INVOICES_DATABASE_URL": f"{scheme}://u:p@h/db?x=1", "INVOICES_SECRET_KEY": KEY})

    assert settings.database_url == "postgresql+psycopg://u:p@h/db?x=1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@h:1/0", "redis://***@h:1/0"),
        ("to postgresql+psycopg://u:p@ss@h/db now", "to postgresql+psycopg://***@h/db now"),
        ("sentinel://:a@h;sentinel://:b@i", "sentinel://***@h;sentinel://***@i"),
        ("https://h/x?token=abc&y=1", "https://h/x?token=***&y=1"),
        ("mail@example.org", "mail@example.org"),
    ],
)
def test_addresses_are_shown_without_user_and_password(text, shown):
    assert redact_url(text) == shown


@pytest.mark.parametrize("allowed", ["localhost", "127.0.0.1:9000", "10.0.0.0/8", "[::1]:80", "::1", "hooks.shop:443"])
def test_hosts_ports_and_networks_may_be_allowed(allowed):
    assert load_settings({"INVOICES_WEBHOOK_ALLOW": f" {allowed} ,"}).webhook_allow == (allowed,)
