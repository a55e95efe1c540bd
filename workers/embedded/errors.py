"""Errors of the one-machine default."""

from __future__ import annotations


class EmbeddedError(Exception):
    """Something embedded can't be started, reached or stopped. One line: what is wrong and what to do."""
