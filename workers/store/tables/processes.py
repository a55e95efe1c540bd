"""The processes that run."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import LONGEST_PROCESS, UtcTime


class ProcessSeen(SQLModel, table=True):
    """A process in one of its roles, as it last wrote itself."""

    __tablename__ = "process_seen"

    role: str = Field(primary_key=True, max_length=12)  #: intake, worker, web; beat: a worker heard its sweep
    name: str = Field(primary_key=True, max_length=LONGEST_PROCESS)  #: host, process id and a random part
    started_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)  #: the database's clock, as all times here
    moved_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when it last committed a result of its work
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list of those it works for
    work: str | None = Field(default=None, sa_type=Text)  #: what a worker did lately, see ``domain/work_report.py``
