"""Generate tables and blocks of docs/ from the code and from facts kept here."""
