"""Stores of features for training and evaluation, and what fills and reads them."""
