"""What `make dist` makes, and its tests."""
