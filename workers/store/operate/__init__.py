"""What operators do by hand: one function a use case, for the command line, the web process and tests alike.

Each takes the store, who acts (``acts.Actor``) and a typed request. What it changes, and the row that records the act
(``workers/store/acts.py``), are written in one transaction.
"""
