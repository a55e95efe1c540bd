"""Stand-ins for the providers, and a webhook receiver, to point integration tests and demos at. See README.md."""
