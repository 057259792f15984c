"""Tables of docs/ that follow from the code and from facts that are kept here."""
