"""Metrics and traces of this process."""
