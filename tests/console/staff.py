"""The scene's people and tokens."""

from __future__ import annotations

from domain.permissions import Role, Scope
from workers.store.acts import Actor
from workers.store.operate.people import NewPerson
from workers.store.operate.people import add as add_person
from workers.store.operate.sessions import SignIn, begin
from workers.store.operate.tokens import NewToken, revoke
from workers.store.operate.tokens import add as add_token
from workers.store.people import find_user
from workers.store.store import Store


def staff(store: Store, operator: Actor, markup: str) -> tuple[str, str]:
    """People of every role, signed in and not, and a few tokens; the ids of one of each."""
    add_person(store, operator, NewPerson("m.okafor", Role.FINANCE, ["zeroxhost"]))
    add_person(store, operator, NewPerson("r.adeyemi", Role.OPERATOR))
    add_person(store, operator, NewPerson(markup[:100], Role.VIEWER))
    begin(store, SignIn("m.okafor", Role.FINANCE, ["zeroxhost"], "password", "10.4.2.31"))
    begin(store, SignIn("s.lindqvist@example.net", Role.VIEWER, None, "oidc", "10.4.2.44", subject="7f3a"))
    add_token(store, operator, NewToken("old shop", [Scope.ORDERS]))
    revoke(store, operator, "old shop")
    add_token(store, operator, NewToken(markup[:100], [Scope.ADMIN]))
    token, _ = add_token(store, operator, NewToken("shop", [Scope.ORDERS, Scope.READ], ["zeroxhost"]))
    person = store.database.read(find_user, "m.okafor")
    assert person is not None
    return person.id, token
