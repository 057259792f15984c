"""Stores of features or samples for training and evaluation: preparation and reading."""
