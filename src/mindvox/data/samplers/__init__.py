"""Samplers decide which records of a training store make up an epoch, and in which order: one sampler a file."""
