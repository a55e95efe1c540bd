"""What is sent to the shops: signed webhooks, and the Redis stream of events."""
