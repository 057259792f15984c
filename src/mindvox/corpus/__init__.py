"""Corpora: recordings in various layouts, their tables and trial lists, noises, and the synthetic demo corpus."""
