"""What leaves for the shops: signed webhooks and the Redis stream."""
