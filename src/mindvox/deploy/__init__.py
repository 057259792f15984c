"""Deployment: export and its parity test, and import of other toolkits' weights."""
