"""What people and programs ask about how the system is doing: typed answers, from the rows alone, changing nothing.

Each is a function of a connection (and of ``now``, the database's). The caller puts the answer into words.
"""
