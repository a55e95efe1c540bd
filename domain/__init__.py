"""What an invoice is and how it changes. No I/O, no clock, no Celery, no HTTP."""
