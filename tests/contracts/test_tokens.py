"""Access tokens as they are kept: the secret is not, a revoked one counts no more, each act is written down."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select, update

from domain.permissions import Scope
from tests.contracts.operator_cases import BOB, told
from tests.contracts.store_cases import rows
from workers.store.operate.tokens import NewToken, add, revoke
from workers.store.tables import TOKEN
from workers.store.tokens import find_tokens, list_tokens, note_use


def find(store, token_id):
    now, found = find_tokens(store.database, [token_id, "tok_of-nobody"])
    return now, found[token_id]


def test_a_token_is_found_by_its_id_and_only_its_secret_is_its(store):
    token_id, given = add(store, BOB, NewToken("shop", [Scope.READ, Scope.ORDERS], ["b", "a"], Decimal("0.5")))
    now, token = find(store, token_id)

    secret = given.removeprefix(f"{token_id}.")
    assert given == f"{token_id}.{secret}"
    assert token.has_secret(secret)
    assert not token.has_secret(secret[:-1])
    assert (token.name, token.scopes, token.accounts) == ("shop", (Scope.ORDERS, Scope.READ), frozenset({"a", "b"}))
    assert token.expires_at == token.created_at + timedelta(hours=12)
    assert token.is_live(now)
    assert not token.is_live(token.expires_at)


def test_the_secret_is_kept_nowhere(store):
    token_id, given = add(store, BOB, NewToken("shop", [Scope.ADMIN]))

    secret = given.partition(".")[2]
    assert secret not in str(rows(store.database, TOKEN))
    assert secret not in str(told(store))
    assert secret not in repr(find(store, token_id))
    assert find(store, token_id)[1].hash not in repr(find(store, token_id)[1])


def test_a_revoked_one_counts_no_more_and_stays_in_the_list(store):
    token_id, _ = add(store, BOB, NewToken("shop", [Scope.READ]))
    other, _ = add(store, BOB, NewToken("other", [Scope.READ]))

    assert revoke(store, BOB, "shop") == [token_id]
    assert revoke(store, BOB, token_id) == []
    now, token = find(store, token_id)
    assert not token.is_live(now)
    assert find(store, other)[1].is_live(now)
    assert [one.id for one in store.database.read(list_tokens)] == [token_id, other]


def test_adding_and_revoking_are_acts(store):
    token_id, _ = add(store, BOB, NewToken("shop", [Scope.READ], per_second=Decimal(5)))
    revoke(store, BOB, token_id)

    added, revoked = told(store)
    assert (added["act"], added["by"], added["after"]["token"]) == ("token.add", "bob", token_id)
    assert added["after"]["per_second"] == "5"
    assert (revoked["act"], revoked["before"]) == ("token.revoke", {"token": token_id, "name": "shop"})


def test_its_use_is_written_once_a_minute(store):
    token_id, _ = add(store, BOB, NewToken("shop", [Scope.READ]))
    note_use(store.database, [token_id])
    first = find(store, token_id)[1].last_used_at
    note_use(store.database, [token_id])
    assert first is not None
    assert find(store, token_id)[1].last_used_at == first

    long_ago = first - timedelta(minutes=2)
    with store.database.transaction() as connection:
        connection.execute(update(TOKEN).values(last_used_at=long_ago))
    note_use(store.database, [token_id])
    assert find(store, token_id)[1].last_used_at >= first
    with store.database.reading() as connection:
        assert connection.execute(select(TOKEN.c.last_used_at)).scalar_one() >= first
