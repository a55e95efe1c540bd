"""Payment providers: a registry, what all of them are built from, one folder a provider."""
