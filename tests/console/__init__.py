"""The console: its pages by requests, and in a real browser."""
