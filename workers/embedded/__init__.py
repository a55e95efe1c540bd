"""The one-machine default: broker, database, supervisor, sandbox providers and receiver."""
