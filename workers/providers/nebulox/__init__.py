"""Nebulox: a hosted payment page, callbacks, and a look-up by what they bring."""
