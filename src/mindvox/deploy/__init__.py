"""Taking models out: export, engines, other toolkits' weights."""
