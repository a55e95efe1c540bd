"""The exact sum of amounts that are kept as text, in SQL: PostgreSQL adds decimals, SQLite is taught to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from workers.store.adding import NAME
from workers.store.tables.columns import ExactAmount


class ExactSum(FunctionElement[Decimal]):
    """Of a column of amounts, NULL left out; NULL without any."""

    name = NAME
    type = ExactAmount()
    inherit_cache = True


def exact_sum(amounts: ColumnElement[Any]) -> ExactSum:
    """Their sum with every digit."""
    return ExactSum(amounts)


@compiles(ExactSum, "postgresql")
def _on_postgresql(element: ExactSum, compiler: Any, **how: Any) -> str:
    (amounts,) = element.clauses
    return f"CAST(sum(CAST({compiler.process(amounts, **how)} AS NUMERIC)) AS TEXT)"


@compiles(ExactSum, "sqlite")
def _on_sqlite(element: ExactSum, compiler: Any, **how: Any) -> str:
    (amounts,) = element.clauses
    return f"{NAME}({compiler.process(amounts, **how)})"
