"""Users and tokens: what an admin does there, and what an admin of some accounts only can't reach."""

from __future__ import annotations

import re

import pytest

from domain.permissions import Role, Scope
from tests.console.scene import OPERATOR
from workers.store.operate.people import NewPerson, add
from workers.store.operate.sessions import SignIn, begin
from workers.store.operate.tokens import NewToken
from workers.store.operate.tokens import add as add_token
from workers.store.passwords import is_password
from workers.store.people import find_user, find_user_by_id, list_users
from workers.store.reads.acts import act_fields, list_acts
from workers.store.tokens import find_tokens

PLACE = "/console/people"
WHY = {"reason": "Ticket 12"}


def kept(ground, name):
    return ground.store.database.read(find_user, name)


def newest_act(ground):
    return act_fields(next(iter(list_acts(ground.store.database))))


def shown_secret(text):
    found = re.search(r'<code>([\w.-]{20,})</code><button[^>]*data-copy="\1"', text)
    assert found is not None
    return found[1]


def test_somebody_is_added_and_the_password_is_shown_once(ground):
    answered = ground.post(f"{PLACE}/add", {"name": " a.silva ", "role": "operator", "account:nebulox": "yes", **WHY})

    password = shown_secret(answered.text)
    user = kept(ground, "a.silva")
    assert answered.status_code == 201
    assert (user.name, user.role, user.accounts) == ("a.silva", Role.OPERATOR, frozenset({"nebulox"}))
    assert is_password(user.password, password)
    assert password not in ground.get(PLACE).text + ground.get(f"{PLACE}/{user.id}").text
    act = newest_act(ground)
    assert (act["act"], act["by"], act["origin"], act["reason"]) == (
        "person.add",
        "j.brandt",
        "console 10.4.2.17",
        "Ticket 12",
    )
    assert password not in str(act)


@pytest.mark.parametrize(
    ("fields", "said", "status"),
    [
        ({"name": "", "role": "viewer", **WHY}, "A name has 1 to 100 characters.", 422),
        ({"name": "x", **WHY}, "Choose a role.", 422),
        ({"name": "x", "role": "owner", **WHY}, "Choose a role.", 422),
        ({"name": "x", "role": "viewer", "reason": " "}, "Say why", 422),
        ({"name": "M.Okafor", "role": "viewer", **WHY}, "Somebody has this name already.", 409),
    ],
)
def test_a_form_that_can_not_be_used_comes_back_with_what_was_given(ground, fields, said, status):
    answered = ground.post(f"{PLACE}/add", fields)

    assert answered.status_code == status
    assert said in answered.text
    assert f'value="{fields["name"]}"' in answered.text


def test_a_role_is_changed_and_whoever_had_it_is_signed_out(ground, scene):
    answered = ground.post(f"{PLACE}/{scene.person}/role", {"role": "viewer", "account:nebulox": "yes", **WHY})

    assert (answered.status_code, answered.headers["location"]) == (303, f"{PLACE}/{scene.person}?done=role")
    user = ground.store.database.read(find_user_by_id, scene.person)
    assert (user.role, user.accounts) == (Role.VIEWER, frozenset({"nebulox"}))
    act = newest_act(ground)
    assert act["before"] == {"person": "m.okafor", "role": "finance", "accounts": ["zeroxhost"]}
    assert act["after"] == {"role": "viewer", "accounts": ["nebulox"], "sessions_ended": 1}
    assert "The role is changed" in ground.get(answered.headers["location"]).text


def test_a_new_password_takes_the_old_ones_place(ground, scene):
    before = kept(ground, "m.okafor").password
    answered = ground.post(f"{PLACE}/{scene.person}/password", WHY)

    assert answered.status_code == 201
    assert is_password(kept(ground, "m.okafor").password, shown_secret(answered.text))
    assert kept(ground, "m.okafor").password != before
    assert newest_act(ground)["act"] == "person.password"


def test_sessions_are_ended_and_somebody_is_removed(ground, scene):
    ended = ground.post(f"{PLACE}/{scene.person}/end-sessions", WHY)
    assert ended.headers["location"] == f"{PLACE}/{scene.person}?done=ended"
    assert newest_act(ground)["after"] == {"sessions_ended": 1}

    unsure = ground.post(f"{PLACE}/{scene.person}/remove", WHY)
    assert (unsure.status_code, kept(ground, "m.okafor") is None) == (422, False)
    removed = ground.post(f"{PLACE}/{scene.person}/remove", {"sure": "yes", **WHY})
    assert removed.headers["location"] == f"{PLACE}?done=removed"
    assert kept(ground, "m.okafor") is None
    assert ground.get(f"{PLACE}/{scene.person}").status_code == 404


def test_whoever_has_no_password_is_put_out_by_name(ground):
    fields = {"name": "s.lindqvist@example.net", **WHY}
    assert "s.lindqvist@example.net" in ground.get(PLACE).text
    assert ground.post(f"{PLACE}/end-sessions", {"name": fields["name"]}).status_code == 422
    assert ground.post(f"{PLACE}/end-sessions", fields).status_code == 303
    assert "s.lindqvist@example.net" not in ground.get(PLACE).text
    assert ground.post(f"{PLACE}/end-sessions", fields).status_code == 404


def test_nobody_changes_or_removes_themselves(ground):
    add(ground.store, OPERATOR, NewPerson("J.Brandt", Role.ADMIN))
    place = f"{PLACE}/{kept(ground, 'j.brandt').id}"

    assert ground.post(f"{place}/role", {"role": "viewer", **WHY}).status_code == 422
    assert ground.post(f"{place}/remove", {"sure": "yes", **WHY}).status_code == 422
    assert kept(ground, "j.brandt").role is Role.ADMIN
    assert "This is you" in ground.get(place).text


def test_a_token_is_added_shown_once_and_revoked(ground):
    fields = {"name": "billing", "scope:orders": "yes", "scope:read": "yes", "days": "30", "per_second": "0.5", **WHY}
    answered = ground.post(f"{PLACE}/tokens/add", fields)
    token_id, _, secret = shown_secret(answered.text).partition(".")
    now, found = find_tokens(ground.store.database, [token_id])
    token = found[token_id]

    assert answered.status_code == 201
    assert token.has_secret(secret)
    assert (token.name, token.scopes, token.accounts) == ("billing", (Scope.ORDERS, Scope.READ), None)
    assert str(token.per_second) == "0.5"
    assert secret not in ground.get(PLACE).text + ground.get(f"{PLACE}/tokens/{token_id}").text
    assert ground.post(f"{PLACE}/tokens/{token_id}/revoke", {"reason": ""}).status_code == 422
    assert ground.post(f"{PLACE}/tokens/{token_id}/revoke", WHY).headers["location"] == f"{PLACE}?done=revoked"
    assert not find_tokens(ground.store.database, [token_id])[1][token_id].is_live(now)
    assert ground.post(f"{PLACE}/tokens/{token_id}/revoke", WHY).status_code == 409


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": " ", "scope:read": "yes"}, "A name has 1 to 100 characters."),
        ({"name": "x"}, "Choose at least one scope."),
        ({"name": "x", "scope:read": "yes", "days": "0"}, "Days are a number"),
        ({"name": "x", "scope:read": "yes", "days": "40000"}, "Days are a number"),
        ({"name": "x", "scope:read": "yes", "per_second": "many"}, "Requests a second are a number"),
        ({"name": "x", "scope:read": "yes", "reason": ""}, "Say why"),
    ],
)
def test_a_token_that_can_not_be_meant_is_not_added(ground, fields, said):
    answered = ground.post(f"{PLACE}/tokens/add", WHY | fields)

    assert answered.status_code == 422
    assert said in answered.text


def test_an_admin_of_some_accounts_reaches_nobody_beyond_them(ground, scene):
    """Otherwise they would make themselves a second self that sees everything."""
    store, only = ground.store, {"accounts": "nebulox"}
    add(store, OPERATOR, NewPerson("near", Role.VIEWER, ["nebulox"]))
    begin(store, SignIn("far@example.net", Role.VIEWER, None, "oidc", "10.0.0.1"))
    beyond, _ = add_token(store, OPERATOR, NewToken("beyond", [Scope.READ], ["nebulox", "zeroxhost"]))

    page = ground.get(PLACE, **only).text
    assert "near" in page
    assert all(name not in page for name in ("m.okafor", "r.adeyemi", "far@example.net", "beyond"))
    for path in (f"{scene.person}", f"tokens/{beyond}", f"tokens/{scene.token}"):
        assert ground.get(f"{PLACE}/{path}", **only).status_code == 404
    for path in (
        f"{scene.person}/remove",
        f"{scene.person}/role",
        f"{scene.person}/password",
        f"tokens/{beyond}/revoke",
    ):
        assert ground.post(f"{PLACE}/{path}", {"role": "viewer", "sure": "yes", **WHY}, **only).status_code == 404
    assert ground.post(f"{PLACE}/end-sessions", {"name": "far@example.net", **WHY}, **only).status_code == 404
    assert len(store.database.read(list_users)) == 4


def test_somebody_with_a_name_of_theirs_whom_the_issuer_let_in_is_not_within_their_reach(ground):
    """They could put out whoever sees more, again and again, and read from where they come."""
    store, only = ground.store, {"accounts": "nebulox"}
    ground.post(f"{PLACE}/add", {"name": "Boss@Example.net", "role": "viewer", **WHY}, **only)
    theirs = store.database.read(find_user, "boss@example.net").id
    assert ground.get(f"{PLACE}/{theirs}", **only).status_code == 200

    begin(store, SignIn("boss@example.net", Role.ADMIN, None, "oidc", "10.77.0.1"))
    begin(store, SignIn("Boss@Example.net", Role.VIEWER, ["nebulox"], "password", "10.0.0.1"))

    assert ground.get(f"{PLACE}/{theirs}", **only).status_code == 404
    for act in ("end-sessions", "password", "remove", "role"):
        assert ground.post(f"{PLACE}/{theirs}/{act}", {"role": "viewer", **WHY}, **only).status_code == 404
    for name in ("boss@example.net", "Boss@Example.net", " ", "x" * 300):
        assert ground.post(f"{PLACE}/end-sessions", {"name": name, **WHY}, **only).status_code == 404
    assert "10.77.0.1" in ground.get(f"{PLACE}/{theirs}").text
    assert ground.post(f"{PLACE}/{theirs}/end-sessions", WHY).status_code == 303


def test_whom_an_admin_of_some_accounts_adds_sees_no_more_than_they_do(ground):
    only = {"accounts": "nebulox"}
    ground.post(f"{PLACE}/add", {"name": "new", "role": "admin", **WHY}, **only)
    refused = ground.post(f"{PLACE}/add", {"name": "x", "role": "admin", "account:zeroxhost": "yes", **WHY}, **only)
    added = ground.post(f"{PLACE}/tokens/add", {"name": "new", "scope:admin": "yes", **WHY}, **only)
    token_id = shown_secret(added.text).partition(".")[0]

    assert kept(ground, "new").accounts == frozenset({"nebulox"})
    assert refused.status_code == 400
    assert find_tokens(ground.store.database, [token_id])[1][token_id].accounts == frozenset({"nebulox"})


@pytest.mark.parametrize("role", ["viewer", "operator", "finance"])
def test_nobody_but_an_admin_reads_or_changes_them(ground, scene, role):
    for path in ("", "/add", f"/{scene.person}", "/tokens/add", f"/tokens/{scene.token}"):
        assert ground.get(f"{PLACE}{path}", role=role).status_code == 403
    assert ground.post(f"{PLACE}/add", {"name": "x", "role": "admin", **WHY}, role=role).status_code == 403
    assert "/console/people" not in ground.get("/console/invoices", role=role).text
    assert kept(ground, "x") is None


@pytest.mark.parametrize("forged", ["usr_nobody", "x" * 300, "%00"])
def test_a_made_up_id_is_nobody(ground, forged):
    assert ground.get(f"{PLACE}/{forged}").status_code == 404
    assert ground.post(f"{PLACE}/{forged}/remove", {"sure": "yes", **WHY}).status_code == 404
    assert ground.get(f"{PLACE}/tokens/{forged}").status_code == 404
