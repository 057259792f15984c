"""Exported models: what describes them, and running them in the library that reads them."""
