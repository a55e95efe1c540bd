"""Whatever stands in the environment or the file: settings that work, or one line that names the wrong one."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.celeryconfig import celery_settings
from config.knobs import NAMES
from config.settings import SettingsError, load_settings
from config.webhook_allow import check_allowed
from domain.account import Account
from workers.bootstrap import policies
from workers.coordination.connections import open_redis
from workers.http.address import parse_allow
from workers.store.database import Database

SECRET = "hunter2-secret"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

#: What comes near to something that would be taken.
PIECES = [
    "~nobody-of-this-name/x",
    "~",
    "/dev/null",
    "/dev/null/x",
    "..",
    "[",
    "]",
    "{",
    "redis://",
    "redis://h:99999",
    "redis://h;redis://",
    "redis://u:p@h/0",
    "redis://h/one",
    "redis+socket:///x",
    "redis+socket:///x?virtual_host=one",
    "redis+socket://h/x",
    "sentinel://h",
    "sentinel://h?master_name=",
    "sentinel://h?master_name=m",
    "amqp://",
    "amqp://h",
    "postgresql://h/",
    "postgresql://h/d",
    "postgresql://u:p%@h/d?x=y&",
    "sqlite:///",
    "sqlite:////",
    "sqlite:////x?mode=ro",
    "rediss://[::1",
    "redis://[::1]:6379/0",
    "redis://h?x=y",
    "unix://",
    "unix:///x?db=z",
    "0",
    "-1",
    "1e5",
    "NaN",
    "Infinity",
    "1e99999999",
    "0.1",
    "١٢",
    "DEBUG",
    "json",
    "env:",
    "env:X",
    "file:",
    "file:/",
    "file:/dev/zero",
    "/dev/zero",
    "$CREDENTIALS_DIRECTORY/x",
    "file:$CREDENTIALS_DIRECTORY/x",
    "*",
    "1.2.3.4/33",
    "10.0.0.1/8",
    "10.0.0.0/8",
    "127.1",
    "0x7f.1",
    "::/0",
    "[::1]:80",
    "fe80::1%lo",
    "h:",
    "h:0",
    "h:-1",
    "h:80",
    ":1",
    "a,b,,",
    "====",
    ",",
    "é",
]
HIDDEN = [f"redis://:{SECRET}@h:bad", f"postgresql://u:{SECRET}@h:bad/d", f"https://u:{SECRET}@h"]
#: The same with characters that end a part of an address or of a list.
HIDDEN += [f"{scheme}://u:a{end}{SECRET}@h" for scheme in ("redis", "sentinel", "postgresql") for end in ",/?#;& "]
texts = st.sampled_from([*PIECES, *HIDDEN, KEY, f"{KEY},{KEY}", "9" * 5000, "-" * 300, "\udcff", "[" * 2000]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(st.sampled_from([*Account.model_fields, "other"]), values, max_size=3)
account = fields.map(
    lambda found: {"provider": "nebulox", "base_url": "https://pay.example", "api_key": SECRET} | found
)
accounts = st.dictionaries(st.sampled_from(["shop", "", "a b", "é", "x" * 100]), account | values, max_size=2)
variables = st.one_of(
    st.tuples(st.sampled_from(sorted(NAMES)), texts),
    st.tuples(st.just("accounts"), accounts.map(json.dumps)),
)


@pytest.fixture(scope="module", autouse=True)
def empty_folder(tmp_path_factory):
    with contextlib.chdir(tmp_path_factory.mktemp("empty")):
        yield


def load(environ):
    """The settings, used as the processes use them; None where they are refused."""
    try:
        found = load_settings(environ)
    except SettingsError as error:
        line = str(error)
        assert line.isprintable()
        assert len(line) <= 1000
        assert SECRET not in line
        return None
    found.secrets()
    celery_settings(found)
    policies(found)
    parse_allow(found.webhook_allow)
    open_redis(found.redis_url).close()
    Database(found.database_url, pool_size=1).close()
    assert SECRET not in repr(found.accounts)
    return found


@given(given=st.lists(variables, max_size=3))
@example(given=[("home", "~nobody-of-this-name/x")])
@example(given=[("broker_url", "redis+socket:///x?virtual_host=one"), ("secret_key", KEY)])
@example(given=[("redis_url", "unix:///x?db=z")])
@example(given=[("webhook_allow", "10.0.0.1/8")])
@example(given=[("webhook_allow", "0.1")])
@example(given=[("webhook_allow", HIDDEN[1])])
def test_the_environment_is_settings_or_one_line_without_secrets(given):
    load({f"INVOICES_{name.upper()}": text for name, text in given} | {"X": "x"})


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_address_in_the_wrong_place_does_not_show_its_password(name):
    for hidden in HIDDEN:
        load({f"INVOICES_{name.upper()}": hidden})
        load({f"INVOICES_{name.upper()}": f"h, {hidden}"})


@given(
    given=st.lists(st.tuples(st.sampled_from(sorted(NAMES)), values), max_size=3), tail=st.sampled_from(["", "=", "]"])
)
@example(given=[("secret_key", True)], tail="")
@example(given=[("secret_key", [KEY])], tail="")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_settings_or_one_line_without_secrets(tmp_path, given, tail):
    file = tmp_path / "invoices.toml"
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in given]
    file.write_bytes("\n".join([*lines, tail]).encode("utf-8", "surrogateescape"))

    load({"INVOICES_CONFIG": str(file)})


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"[" * 100_000, b"stream_maxlen = " + b"9" * 5000, b"\xff", b"a" + b".a" * 3000 + b" = 1", b"\0"],
)
def test_a_file_that_is_made_to_break_its_reader_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "invoices.toml"
    file.write_bytes(content)

    assert load({"INVOICES_CONFIG": str(file)}) is None


@given(name=texts)
@example(name=HIDDEN[0])
def test_a_name_or_a_path_that_is_an_address_hides_its_password(name):
    load({f"INVOICES_{name}": "x"})
    load({"INVOICES_CONFIG": name})


@given(item=texts | st.ip_addresses().map(str) | st.from_regex(r"[a-z0-9.:\[\]/%-]{1,20}", fullmatch=True))
def test_what_the_settings_let_webhooks_go_to_is_what_the_address_guard_reads(item):
    try:
        taken = check_allowed(item)
    except ValueError:
        return
    parse_allow(taken)
