"""How fast things go, what is open and what went otherwise than planned: for the console's overview.

Everything is read from rows, by an index and among the newest of them only, so that every web process says the same,
however many invoices there are. What is read tells the account that it is of.
"""
