"""What runs: tasks, stages, store, providers, delivery, commands."""
