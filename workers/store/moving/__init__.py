"""All rows of a database into an empty one of the other kind, or of the same."""
