"""The tables. Each is declared once, as an SQLModel class; here are the plain tables that statements are made of.

No relationships, no lazy loading: rows are read and written by the statements of ``workers/store``.
"""

from workers.store.tables.plain import *  # noqa: F403 - all of them, new ones too
