"""The stand-ins: one file per provider, or a folder where one file would be too long."""
