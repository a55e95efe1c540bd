"""Nebulox: a hosted payment page, callbacks, and a look-up by the tracking code that callbacks bring."""
