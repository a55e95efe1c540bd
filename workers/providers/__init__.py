"""Payment providers: the registry, the parts they share, and a folder for each provider."""
