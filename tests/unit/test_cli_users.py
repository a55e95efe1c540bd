"""`invoices users` and `invoices console-link`."""

from __future__ import annotations

import re

import pytest

from domain.permissions import Role
from workers.store.operate.sessions import SignIn, begin, use_link
from workers.store.passwords import is_password
from workers.store.people import find_user
from workers.store.tokens import hash_of


def kept(store, name):
    return store.database.read(find_user, name)


def test_an_added_person_is_printed_with_the_password_once_and_listed_without(invoices, store):
    (made,) = invoices("users", "add", "j.brandt", "--role", "operator", "--account", "nebulox", "--json").lines
    listed = invoices("users", "list", "--json")

    assert (made["name"], made["role"], made["accounts"]) == ("j.brandt", "operator", ["nebulox"])
    assert is_password(kept(store, "j.brandt").password, made["password"])
    (one,) = listed.lines
    assert {name: one[name] for name in ("name", "role", "accounts", "sessions", "password")} == {
        "name": "j.brandt",
        "role": "operator",
        "accounts": ["nebulox"],
        "sessions": 0,
        "password": True,
    }
    assert made["password"] not in listed.out + invoices("users", "list").out + invoices("audit", "--json").out
    assert "nebulox" in invoices("users", "list").out


def test_a_person_at_a_terminal_is_told_the_password(invoices):
    ran = invoices("users", "add", "j.brandt", "--role", "viewer")

    assert re.fullmatch(r"name      j\.brandt\npassword  [\w-]{24}\n", ran.out)
    assert "not shown again" in ran.err


def test_a_name_is_one_persons_in_any_case(invoices):
    invoices("users", "add", "j.brandt", "--role", "viewer")
    again = invoices("users", "add", "J.Brandt", "--role", "admin")

    assert (again.code, again.out) == (1, "")
    assert "there is 'J.Brandt' already" in again.err


def test_role_password_and_removal_end_sessions_and_are_acts(invoices, store):
    (made,) = invoices("users", "add", "j.brandt", "--role", "viewer", "--json").lines

    def sign_in():
        begin(store, SignIn("j.brandt", Role.VIEWER, None, "password", "10.0.0.1"))

    sign_in()
    (told,) = invoices("users", "role", "j.brandt", "--role", "finance", "--json").lines
    assert told == {"name": "j.brandt", "role": "finance", "accounts": None, "sessions_ended": 1}
    sign_in()
    (new,) = invoices("users", "password", "J.BRANDT", "--json").lines
    assert not is_password(kept(store, "j.brandt").password, made["password"])
    assert is_password(kept(store, "j.brandt").password, new["password"])
    assert invoices("users", "list", "--json").lines[0]["sessions"] == 0
    sign_in()
    assert "j.brandt; 1 session ended" in invoices("users", "end-sessions", "j.brandt", "--reason", "left a lap").out
    assert "removed j.brandt; 0 sessions ended" in invoices("users", "remove", "j.brandt", "--reason", "has left").out
    assert kept(store, "j.brandt") is None
    acts = [(act["act"], act["reason"]) for act in invoices("audit", "--json").lines if act["act"] != "person.sign_in"]
    assert acts == [
        ("person.remove", "has left"),
        ("person.end_sessions", "left a lap"),
        ("person.password", None),
        ("person.role", None),
        ("person.add", None),
    ]


def test_whoever_came_by_another_way_is_listed_and_their_sessions_are_ended(invoices, store):
    begin(store, SignIn("ops@example.net", Role.ADMIN, None, "oidc", "10.0.0.1"))
    (one,) = invoices("users", "list", "--json").lines

    assert (one["name"], one["role"], one["password"], one["sessions"]) == ("ops@example.net", "admin", False, 1)
    assert invoices("users", "end-sessions", "ops@example.net").code == 0
    assert invoices("users", "end-sessions", "ops@example.net").code == 1


@pytest.mark.parametrize("command", [["role", "nobody", "--role", "viewer"], ["password", "nobody"], ["remove", " "]])
def test_nobody_is_an_error_in_one_line(invoices, command):
    ran = invoices("users", *command)

    assert (ran.code, ran.out) == (1, "")
    assert "there is nobody" in ran.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["j.brandt"], "--role"),
        (["j.brandt", "--role", "owner"], "--role"),
        (["j.brandt", "--role", "viewer", "--account", "nobody"], "--account"),
        (["", "--role", "viewer"], "NAME"),
        (["x" * 101, "--role", "viewer"], "NAME"),
        (["\u202ej", "--role", "viewer"], "direction of text"),
        (["\ufdfa" * 100, "--role", "viewer"], "NAME"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error(invoices, arguments, word):
    ran = invoices("users", "add", *arguments)

    assert ran.code == 2
    assert word in ran.err


def test_a_link_is_printed_with_where_the_console_is(invoices, store):
    (made,) = invoices("console-link", "--json").lines
    key = made["url"].removeprefix("http://127.0.0.1:8420/console/link?key=")

    assert made["ends_at"].endswith("Z")
    secret = use_link(store, key, "127.0.0.1", None)
    assert secret is not None
    assert invoices("users", "list", "--json").lines[0]["role"] == "admin"
    assert invoices("console-link").out.startswith("http://127.0.0.1:8420/console/link?key=")
    assert hash_of(key) != key


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INVOICES_DATABASE_URL", "sqlite:///{}/other.db", "invoices users add"),
        ("INVOICES_WEB_PORT", "0", "INVOICES_WEB_PORT"),
        ("INVOICES_WEB_SERVE", "api", "INVOICES_WEB_SERVE"),
    ],
)
def test_where_no_link_can_work_none_is_made(invoices, monkeypatch, tmp_path, name, value, said):
    monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setenv("INVOICES_SECRET_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    ran = invoices("console-link")

    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
