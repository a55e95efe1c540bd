"""What the tests of side queues share: errors that blame a message, and one that does not."""

from __future__ import annotations

from psycopg.errors import IndexCorrupted, ProgramLimitExceeded, QueryCanceled
from sqlalchemy.exc import DataError, InternalError, OperationalError

BAD = DataError("INSERT", {}, Exception("character is not in the encoding"))
AWAY = OperationalError("INSERT", {}, Exception("away"))
SLOW = OperationalError("INSERT", {}, QueryCanceled("statement timeout"))
LIMIT = OperationalError("INSERT", {}, ProgramLimitExceeded("index row size exceeds its maximum"))
DAMAGED = InternalError("INSERT", {}, IndexCorrupted("unexpected zero page"))
