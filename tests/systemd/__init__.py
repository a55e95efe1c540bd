"""The units of deploy/systemd, and what the processes tell systemd."""
