"""What workers tell each other through Redis: doorbells, rate limits, breakers. Nothing is true because of it alone.

While Redis is away work goes on. It is found by each worker's own look once a second (``workers/engine/pump.py``) in
place of doorbells; each process keeps to a part of the account's rate; every webhook is let through, slowed down by its
schedule alone. If Redis is the broker too, messages wait in it until it is back (``workers/transport``).
"""
