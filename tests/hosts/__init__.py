"""Several hosts on one machine, as network namespaces: what more of them bring, and what a lost one costs."""
