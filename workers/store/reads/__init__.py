"""What people and programs ask about how the system does: typed answers from the rows alone; nothing is changed.

Each is a function of a connection (and of ``now``, the database's). Who asks words the answer.
"""
