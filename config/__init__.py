"""Settings, Celery's configuration and logging. They are read where things are wired, nowhere else."""
