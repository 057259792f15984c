"""Corpora: recordings in VoxCeleb layout, their tables, trial lists, and the synthetic demo corpus."""
