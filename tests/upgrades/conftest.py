"""Empty databases of both kinds, and the folder of migrations with three more planted on top."""

from __future__ import annotations

import pytest

from tests.upgrades.planted import plant


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request):
    """Which of the two databases a test is about."""
    return request.param


@pytest.fixture
def empty_database_url(request, tmp_path, database_kind):
    """The URL of a database without a single table."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'invoices.db'}"
    return request.getfixturevalue("new_postgres_url")


@pytest.fixture
def planted(tmp_path):
    """The project's migrations and the next releases': an expansion, an index and a contraction."""
    return plant(tmp_path / "migrations")
