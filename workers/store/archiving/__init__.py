"""Ended invoices as lines of compressed files, written before their rows are removed."""
