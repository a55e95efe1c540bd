"""`invoices demo`: the whole system at work on this machine, in under a minute, with a reckoning at the end."""
