"""One outbound HTTP client: connections and names in bounded shares, and the guard of the addresses it may call."""
