"""The web process: callbacks of providers, `/v1` for services, health, metrics. `server` runs it."""
