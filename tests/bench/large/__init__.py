"""The same work with few and with very many orders in the tables, and what an order writes."""
