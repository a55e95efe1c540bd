"""The stand-ins: one file a provider, or a folder where that would be too long for one."""
