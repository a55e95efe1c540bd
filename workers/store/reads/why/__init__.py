"""Why nothing happens: rows of one order, and of all that is late, for what ``domain/why`` decides."""
