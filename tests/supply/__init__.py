"""What we build upon and what we give away: pins, known-bad versions, licences, secrets. Run by `make check`."""
