"""Messages into rows: judged, stored, listed as rejected, or kept until one of both can be done."""
