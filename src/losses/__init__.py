"""Training objectives; each holds its classifier's weights."""
