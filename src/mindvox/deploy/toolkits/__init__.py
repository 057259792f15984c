"""The model files of other toolkits, one toolkit a file. `TOOLKITS` in the registry lists them by name."""
