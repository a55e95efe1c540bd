"""A drill: PostgreSQL's primary goes away under live load, its replica takes over."""
