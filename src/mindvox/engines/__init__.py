"""Exported models: their descriptions, and the libraries that run them."""
