"""Messages into rows: checked, then stored, listed as rejected, or kept until one of the two works."""
