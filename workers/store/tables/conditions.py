"""Conditions of partial indexes that statements repeat word for word; without the classes: what reads needs none."""

#: In SQL: the account is turned away, calls were not received or put off, or the last look-up brought nothing.
HELD_UP = "refused_since IS NOT NULL OR create_tries <> 0 OR substr(evidence_digest, 1, 1) = '!'"
