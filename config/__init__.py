"""Settings, Celery's configuration and logging: read where things are wired, nowhere else."""
