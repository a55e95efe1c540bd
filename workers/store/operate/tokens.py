"""Access tokens: added, revoked."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import insert, select, update

from domain.event import new_id
from domain.exact_json import write_json
from domain.permissions import Scope
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.store import Store
from workers.store.tables import TOKEN
from workers.store.tokens import hash_of

SECRET_BYTES = 32
LONGEST_DAYS, MOST_PER_SECOND = 36_500, 1_000_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be added. ``accounts`` empty: it sees all. ``days`` None: it never expires. ``per_second`` None:
    requests are not limited."""

    name: str
    scopes: Collection[Scope]
    accounts: Collection[str] = ()
    days: Decimal | None = None
    per_second: Decimal | None = None


def add(store: Store, actor: Actor, request: NewToken) -> tuple[str, str]:
    """Add a token. Returns its id, and the token itself, which can't be shown again."""
    token_id, secret = new_id("tok"), secrets.token_urlsafe(SECRET_BYTES)
    accounts = sorted(set(request.accounts))
    scopes = sorted({scope.value for scope in request.scopes})
    with store.database.transaction() as connection:
        now = store.database.now(connection)
        expires_at = None if request.days is None else now + timedelta(days=float(request.days))
        connection.execute(
            insert(TOKEN).values(
                id=token_id,
                name=request.name,
                scopes=",".join(scopes),
                accounts=write_json(accounts) if accounts else None,
                hash=hash_of(secret),
                per_second=request.per_second,
                created_at=now,
                expires_at=expires_at,
            )
        )
        after: Values = {"token": token_id, "name": request.name, "scopes": scopes, "accounts": accounts or None}
        after = {**after, "expires_at": expires_at, "per_second": request.per_second}
        record(connection, store.database, actor, [Deed(act=Act.ADD_TOKEN, after=after)])
    return token_id, f"{token_id}.{secret}"


def revoke(store: Store, actor: Actor, name: str) -> list[str]:
    """Revoke the tokens with this id or name. Returns the ids of those that were not revoked before."""
    with store.database.transaction() as connection:
        now = store.database.now(connection)
        meant = (TOKEN.c.id == name) | (TOKEN.c.name == name)
        live = select(TOKEN.c.id, TOKEN.c.name).where(meant, TOKEN.c.revoked_at.is_(None)).order_by(TOKEN.c.id)
        rows = connection.execute(live.with_for_update()).all()
        ids = [row.id for row in rows]
        connection.execute(update(TOKEN).where(TOKEN.c.id.in_(ids)).values(revoked_at=now))
        deeds = [
            Deed(act=Act.REVOKE_TOKEN, before={"token": row.id, "name": row.name}, after={"revoked": True})
            for row in rows
        ]
        record(connection, store.database, actor, deeds)
    return ids
