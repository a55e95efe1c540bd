"""Rules, dashboards and runbooks: each is whole, uses what is declared, and is tried on a real Prometheus."""
