"""What leaves for the shops: signed webhooks through the address guard, and the Redis stream."""
