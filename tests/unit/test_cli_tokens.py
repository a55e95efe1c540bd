"""`invoices tokens`: added, listed, revoked."""

from __future__ import annotations

import pytest

from workers.store.tokens import find_tokens


def test_an_added_token_is_printed_once_and_listed_without_its_secret(invoices, store):
    (made,) = invoices(
        "tokens", "add", "shop", "--scope", "orders", "--account", "nebulox", "--days", "30", "--json"
    ).lines
    secret = made["token"].partition(".")[2]
    listed = invoices("tokens", "list", "--json")

    assert made["token"].startswith(f"{made['id']}.")
    assert find_tokens(store.database, [made["id"]])[1][made["id"]].has_secret(secret)
    (token,) = listed.lines
    assert (token["id"], token["name"], token["scopes"], token["accounts"]) == (
        made["id"],
        "shop",
        ["orders"],
        ["nebulox"],
    )
    assert (token["state"], token["last_used_at"], token["revoked_at"]) == ("live", None, None)
    assert token["expires_at"] > token["created_at"]
    assert secret not in listed.out + invoices("tokens", "list").out


def test_a_person_is_told_how_it_is_sent(invoices):
    ran = invoices("tokens", "add", "shop", "--scope", "read", "--scope", "orders")

    assert ran.out.splitlines()[1].startswith("token  tok_")
    assert "Authorization: Bearer" in ran.err
    assert "orders, read" in invoices("tokens", "list").out


def test_other_live_tokens_of_the_name_are_said(invoices):
    add = ("tokens", "add", "shop", "--scope", "read")
    (first,) = invoices(*add, "--json").lines
    (second,) = invoices(*add, "--json").lines
    assert (first["same_name"], second["same_name"]) == ([], [first["id"]])
    ran = invoices(*add)
    said = f"2 other live tokens have this name: {first['id']}, {second['id']}; revoke an id"
    assert ran.code == 0
    assert said in ran.err

    assert len(invoices("tokens", "revoke", "shop").out.splitlines()) == 3
    assert invoices(*add, "--json").lines[0]["same_name"] == []


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_revoked_one_is_listed_as_such_and_revoked_once(invoices, by):
    (made,) = invoices("tokens", "add", "shop", "--scope", "read", "--json").lines
    name = made["id"] if by == "id" else "shop"

    assert invoices("tokens", "revoke", name, "--json").lines == [{"id": made["id"], "revoked": True}]
    assert invoices("tokens", "list", "--json").lines[0]["state"] == "revoked"
    again = invoices("tokens", "revoke", name)
    assert (again.code, again.out) == (1, "")
    acts = [act["act"] for act in invoices("audit", "--json").lines]
    assert acts == ["token.revoke", "token.add"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--scope", "all"], "--scope"),
        ([], "--scope"),
        (["--scope", "read", "--account", "nobody"], "--account"),
        (["--scope", "read", "--days", "0"], "--days"),
        (["--scope", "read", "--days", "40000"], "--days"),
        (["--scope", "read", "--per-second", "-1"], "less than nothing"),
        (["--scope", "read", "--per-second", "0"], "--per-second"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error_in_one_line(invoices, arguments, word):
    ran = invoices("tokens", "add", "shop", *arguments)

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert word in ran.err
    assert invoices("tokens", "list", "--json").lines == []
