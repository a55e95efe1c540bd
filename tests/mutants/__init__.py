"""Mutation testing of what decides: the domain and the judging transaction."""
