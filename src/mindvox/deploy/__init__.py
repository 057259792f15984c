"""Taking models out: export, parity, other toolkits' weights."""
