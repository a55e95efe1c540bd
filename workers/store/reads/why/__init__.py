"""Why nothing happens: the facts of one order, and of all that is late. ``domain/why`` decides what they mean."""
