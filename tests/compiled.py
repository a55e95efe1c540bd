"""A statement is compiled once a process, not once for each of the thousands of databases that tests open: compiling
takes a third of a store test's time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.util import LRUCache


class Compiled(LRUCache[Any, Any]):
    """Compiled statements, by kind and version of the database where SQLAlchemy's own key has the engine's dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_shared(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_shared(key), value)


def _shared(key: Any) -> Hashable:
    dialect, *rest = key
    return (type(dialect), dialect.server_version_info, *rest)


STATEMENTS = Compiled(4000)


@event.listens_for(Engine, "engine_connect")
def _share(connection: Connection) -> None:
    connection.execution_options(compiled_cache=STATEMENTS)
