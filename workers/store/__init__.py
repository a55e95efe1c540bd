"""All SQL. One behaviour over SQLite and PostgreSQL; one suite tests both."""
