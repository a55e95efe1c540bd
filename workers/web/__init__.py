"""The web process: callbacks of providers, health, metrics. `server` runs it, `application` says what it serves."""
