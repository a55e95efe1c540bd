"""What workers tell each other through Redis: doorbells, rate limits, breakers. The truth never depends on it."""
