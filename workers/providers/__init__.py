"""Payment providers: a registry, the shared HTTP call, one file a provider."""
