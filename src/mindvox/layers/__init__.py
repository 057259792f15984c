"""Cells that several models share."""
