"""What an invoice is: no I/O, no clock, no Celery, no HTTP."""
