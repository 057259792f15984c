"""How other toolkits keep their models, one toolkit a file. `TOOLKITS` in the registry has them by name."""
