"""Nebulox's stand-in."""
