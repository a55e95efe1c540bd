"""What workers tell each other through Redis: doorbells, rate limits, breakers. Nothing is true because of it alone."""
