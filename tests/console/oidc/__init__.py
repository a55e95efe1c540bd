"""Signing in by the word of an issuer."""
