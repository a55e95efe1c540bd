"""Celery's edge: tasks, the consumer that inspects each message first, batches, the scheduler, a process's life."""
