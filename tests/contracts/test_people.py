"""People, sessions and one-time links as they are kept, on both databases."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from domain.permissions import Role
from tests.contracts.operator_cases import BOB, told
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import rows
from workers.store import passwords
from workers.store.operate.people import NameTaken, NewPerson, NoSuchPerson, add, change_role, end_sessions, remove
from workers.store.operate.restoration import restore
from workers.store.operate.sessions import SignIn, add_link, begin, begin_for, end, use_link
from workers.store.passwords import is_password
from workers.store.people import (
    IDLE,
    LONGEST,
    find_sessions,
    find_user,
    has_users,
    list_sessions,
    list_users,
    note_seen,
    sessions_of,
)
from workers.store.tables import LINK, PERSON, SESSION
from workers.store.tokens import hash_of

ANNA = SignIn("anna", Role.ADMIN, None, "password", "10.0.0.1")


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    """What hashing costs is not what is tested here."""
    from argon2 import PasswordHasher

    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: cheap)


def find(store, secret):
    now, found = find_sessions(store.database, [secret, "a-secret-of-nobody"])
    return now, found.get(secret)


def age(store, **columns):
    """Make every session older."""
    with store.database.transaction() as connection:
        changed = {name: getattr(SESSION.c, name) for name in columns}
        row = connection.execute(SESSION.select()).one()
        connection.execute(update(SESSION).values({name: getattr(row, name) - columns[name] for name in changed}))


def test_somebody_is_kept_with_a_hash_and_found_by_any_form_of_the_name(store):
    assert not store.database.read(has_users)
    password = add(store, BOB, NewPerson("Anna", Role.OPERATOR, ["b", "a", "b"]))
    user = store.database.read(find_user, "anna")

    assert store.database.read(has_users)
    assert user.id.startswith("usr_")
    assert (user.name, user.role, user.accounts) == ("Anna", Role.OPERATOR, frozenset({"a", "b"}))
    assert is_password(user.password, password)
    assert password not in str(rows(store.database, PERSON)) + str(told(store)) + repr(user)
    with pytest.raises(NameTaken):
        add(store, BOB, NewPerson("ANNA", Role.VIEWER))
    assert len(store.database.read(list_users)) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "\ufdfa" * 90])
def test_a_name_that_nobody_can_have_is_refused(store, name):
    with pytest.raises(ValueError, match="1 to 100"):
        add(store, BOB, NewPerson(name, Role.VIEWER))
    with pytest.raises(NoSuchPerson):
        remove(store, BOB, name)


def test_a_session_is_found_by_its_secret_of_which_only_a_hash_is_kept(store):
    secret = begin(store, SignIn("anna", Role.FINANCE, ["b", "a"], "oidc", "10.0.0.1", subject="7"))
    now, session = find(store, secret)

    assert (session.name, session.role, session.accounts) == ("anna", Role.FINANCE, frozenset({"a", "b"}))
    assert session.ends_at - session.created_at == LONGEST
    assert session.is_live(now)
    assert find(store, hash_of(secret))[1] is None
    assert secret not in str(rows(store.database, SESSION)) + str(told(store)) + repr(session)
    assert hash_of(secret) not in repr(session)
    (act,) = told(store)
    assert act["after"] == {"person": "anna", "role": "finance", "way": "oidc", "subject": "7"}


def test_it_ends_when_nobody_uses_it_and_after_twelve_hours_in_any_case(store):
    secret = begin(store, ANNA)
    age(store, seen_at=IDLE - timedelta(minutes=1))
    now, session = find(store, secret)
    assert session.is_live(now)
    age(store, seen_at=timedelta(minutes=1))
    now, session = find(store, secret)
    assert not session.is_live(now)
    assert store.database.read(list_sessions, now) == []

    note_seen(store.database, secret)
    assert find(store, secret)[1].is_live(now)
    age(store, ends_at=LONGEST)
    now, session = find(store, secret)
    assert not session.is_live(now)
    assert store.database.read(sessions_of, now, "anna") == []


def test_its_use_is_noted_once_a_minute(store):
    secret = begin(store, ANNA)
    first = find(store, secret)[1].seen_at
    note_seen(store.database, secret)
    assert find(store, secret)[1].seen_at == first
    age(store, seen_at=timedelta(minutes=2))
    note_seen(store.database, secret)
    assert find(store, secret)[1].seen_at >= first


def test_those_that_are_over_go_with_the_next_sign_in(store):
    begin(store, ANNA)
    age(store, ends_at=LONGEST)
    secret = begin(store, ANNA)

    assert [row.hash for row in rows(store.database, SESSION)] == [hash_of(secret)]


def test_a_new_sign_in_ends_what_the_browser_had_before(store):
    first = begin(store, ANNA)
    other = begin(store, ANNA)
    second = begin(store, SignIn("anna", Role.ADMIN, None, "password", "10.0.0.1", former=first))

    assert find(store, first)[1] is None
    assert find(store, other)[1] is not None
    assert find(store, second)[1] is not None


def test_signing_out_ends_one_session_and_end_sessions_all_of_a_name(store):
    secrets = [begin(store, ANNA) for _ in range(3)]
    bystander = begin(store, SignIn("bob", Role.VIEWER, None, "link", "10.0.0.2"))
    end(store, BOB, secrets[0])
    end(store, BOB, secrets[0])

    assert end_sessions(store, BOB, "ANNA") == 2
    assert [find(store, one)[1] for one in secrets] == [None] * 3
    assert find(store, bystander)[1] is not None
    with pytest.raises(NoSuchPerson):
        end_sessions(store, BOB, "anna")
    assert [act["act"] for act in told(store)].count("person.sign_out") == 1


def test_whoever_was_changed_since_the_password_was_looked_at_does_not_come_in(store):
    add(store, BOB, NewPerson("anna", Role.ADMIN))
    seen = store.database.read(find_user, "anna")
    change_role(store, BOB, NewPerson("anna", Role.VIEWER, ["a"]))
    now, session = find(store, begin_for(store, seen, "10.0.0.1", None))
    assert session.is_live(now)
    assert (session.role, session.accounts) == (Role.VIEWER, frozenset({"a"}))

    remove(store, BOB, "anna")
    assert begin_for(store, seen, "10.0.0.1", None) is None
    add(store, BOB, NewPerson("anna", Role.VIEWER))
    assert begin_for(store, seen, "10.0.0.1", None) is None


def test_a_change_and_a_sign_in_at_the_same_time_leave_no_session_of_the_old_role(store):
    add(store, BOB, NewPerson("anna", Role.ADMIN))
    seen = store.database.read(find_user, "anna")
    for _ in range(10):
        change_role(store, BOB, NewPerson("anna", Role.ADMIN))
        threads = [
            threading.Thread(target=begin_for, args=(store, seen, "10.0.0.1", None)),
            threading.Thread(target=change_role, args=(store, BOB, NewPerson("anna", Role.VIEWER))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {row.role for row in rows(store.database, SESSION)} <= {"viewer"}


def test_a_link_is_used_once_though_many_press_its_button(store):
    link, ends_at = add_link(store, BOB)
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(use_link(store, link, "10.0.0.1", None))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (secret,) = [one for one in found if one is not None]
    now, session = find(store, secret)
    assert (session.name, session.role, session.way) == ("bob", Role.ADMIN, "link")
    assert timedelta(minutes=9) < ends_at - now <= timedelta(minutes=10)
    assert link not in str(told(store))
    assert rows(store.database, LINK) == []


def test_a_link_that_is_too_old_is_worth_nothing_and_goes(store):
    link, _ = add_link(store, BOB)
    with store.database.transaction() as connection:
        connection.execute(update(LINK).values(ends_at=LINK.c.created_at))

    assert use_link(store, link, "10.0.0.1", None) is None
    assert rows(store.database, LINK) == []


def test_after_a_restore_nobody_is_signed_in(store):
    """A backup may hold sessions that were ended since it was made."""
    secret, link = begin(store, ANNA), add_link(store, BOB)[0]
    restore(store, BOB, lambda _: 1.0)

    assert find(store, secret)[1] is None
    assert use_link(store, link, "10.0.0.1", None) is None


def test_a_session_is_one_look_up_by_index(store):
    """PostgreSQL reads a small table whole: it has to be told that this one is not."""
    secret = begin(store, ANNA)
    (row,) = rows(store.database, SESSION)
    many = [{**row._mapping, "hash": f"{number:064}", "key": f"name {number}"} for number in range(3000)]
    with store.database.transaction() as connection:
        connection.execute(insert(SESSION), many)
        if store.database.is_postgresql:
            connection.exec_driver_sql("ANALYZE console_session")

    plan = explained(store.database, lambda: find(store, secret), r"(SELECT|WITH) .*console_session")
    assert "Seq Scan on console_session" not in plan
    assert "SCAN console_session" not in plan
    assert "ix_console_session_key" in explained(
        store.database, lambda: end_sessions(store, BOB, "anna"), r"DELETE FROM console_session"
    )
