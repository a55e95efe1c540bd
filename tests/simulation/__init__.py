"""A deterministic simulation of the core: pump, stages, store, lifecycle and intake under one seeded scheduler."""
