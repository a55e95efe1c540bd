"""The container image and deploy/compose.yaml, built and run."""
