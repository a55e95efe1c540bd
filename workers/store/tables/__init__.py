"""The tables: each is declared once, as an SQLModel class, and stands here as what statements are made of.

No relationships, no lazy loading: rows are read and written by the statements of ``workers/store``.
"""

from workers.store.tables.plain import *  # noqa: F403 - all of them; a new one is there once it is written
