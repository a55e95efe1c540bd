"""What an order writes, by table: bytes of WAL, of them full pages, and rows that it leaves dead.

PostgreSQL writes a page whole when it is changed for the first time after a checkpoint. So it is counted from one, for
orders in a row; with many more orders between checkpoints the pages weigh less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from tests.sizing.tables import run_alone
from workers.store.store import Store

ELSE = "(all else)"
_NOW = "SELECT pg_current_wal_insert_lsn()::text"
#: Each record's bytes are shared out among the blocks that it is about; full pages are counted with their block.
_WAL = text("""
WITH block AS (
  SELECT start_lsn, relfilenode, record_length, block_fpi_length AS page,
         count(*) OVER (PARTITION BY start_lsn) AS blocks, sum(block_fpi_length) OVER (PARTITION BY start_lsn) AS pages
  FROM pg_get_wal_block_info(CAST(:since AS pg_lsn), CAST(:until AS pg_lsn))
  WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
), named AS (
  SELECT coalesce(owner.relname, class.relname) AS name, index.indexrelid IS NOT NULL AS is_index,
         pg_relation_filenode(class.oid) AS file, class.relkind
  FROM pg_class class LEFT JOIN pg_index index ON index.indexrelid = class.oid
  LEFT JOIN pg_class toast ON toast.reltoastrelid = coalesce(index.indrelid, class.oid) AND toast.relkind = 'r'
  LEFT JOIN pg_class owner ON owner.oid = coalesce(toast.oid, index.indrelid)
)
SELECT CASE WHEN relkind IN ('r', 't', 'i') AND name NOT LIKE 'pg\\_%' THEN name ELSE :other END AS name,
       sum((record_length - pages)::float / blocks) FILTER (WHERE is_index IS NOT TRUE) AS rows,
       sum((record_length - pages)::float / blocks) FILTER (WHERE is_index) AS indexes,
       sum(page) AS pages
FROM block LEFT JOIN named ON file = relfilenode GROUP BY 1
""")
_REST = text("""
SELECT coalesce(sum(record_length), 0) FROM pg_get_wal_records_info(CAST(:since AS pg_lsn), CAST(:until AS pg_lsn))
WHERE block_ref IS NULL OR block_ref = ''
""")
_ROWS = text("""
SELECT relname AS name, n_tup_ins AS added, n_tup_upd AS changed, n_tup_hot_upd AS hot, n_tup_del AS removed
FROM pg_stat_user_tables
""")


@dataclass(frozen=True, slots=True)
class Written:
    """Of one table, an order: rows added, changed, of them without a word to its indexes (HOT), and removed; bytes of
    WAL about its rows and its indexes, and full pages of both."""

    name: str
    added: float
    changed: float
    hot: float
    removed: float
    rows: float
    indexes: float
    pages: float

    @property
    def dead(self) -> float:
        """Rows left behind."""
        return self.changed + self.removed

    @property
    def wal(self) -> float:
        """Bytes without full pages."""
        return self.rows + self.indexes


class Counting:
    """What is written from here on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        run_alone(store, "CREATE EXTENSION IF NOT EXISTS pg_walinspect", "CHECKPOINT")
        self._counts, self._since = self._row_counts(), self._place()

    def written(self, orders: int) -> list[Written]:
        """By ``orders`` since then; the table with most WAL first."""
        counts = self._row_counts()
        with self._store.database.reading() as connection:
            window = {"since": self._since, "until": self._place()}
            told = connection.execute(_WAL, window | {"other": ELSE})
            wal = {row.name: [row.rows or 0, row.indexes or 0, row.pages] for row in told}
            wal.setdefault(ELSE, [0, 0, 0])[0] += connection.execute(_REST, window).scalar_one()
        found = []
        for name in wal.keys() | counts.keys():
            rows = [
                now - then for now, then in zip(counts.get(name, _NONE), self._counts.get(name, _NONE), strict=True)
            ]
            each = [float(one) / orders for one in (*rows, *wal.get(name, (0, 0, 0)))]
            found += [Written(name, *each)] if any(each) else []
        return sorted(found, key=lambda one: -one.wal)

    def _place(self) -> str:
        with self._store.database.reading() as connection:
            return str(connection.execute(text(_NOW)).scalar_one())

    def _row_counts(self) -> dict[str, tuple[int, int, int, int]]:
        self._store.database.engine.dispose()  # a session tells what it has counted now and then, and at its end
        with self._store.database.reading() as connection:
            return {row[0]: tuple(row[1:]) for row in connection.execute(_ROWS)}


_NONE = 0, 0, 0, 0


def show(written: Sequence[Written]) -> str:
    """A table in Markdown."""
    head = (
        "| an order | rows added | changed | of them HOT | removed | WAL of rows | of indexes | full pages |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    )
    sums = [sum(getattr(one, name) for one in written) for name in Written.__slots__[1:]]
    return "\n".join([*head, *map(_line, [*written, Written("all", *sums)])])


def _line(one: Written) -> str:
    hot = f"{one.hot / one.changed:.0%}" if one.changed else ""
    counts = f"{one.added:.2f} | {one.changed:.2f} | {hot} | {one.removed:.2f}"
    return f"| {one.name} | {counts} | {one.rows:,.0f} | {one.indexes:,.0f} | {one.pages:,.0f} |"
