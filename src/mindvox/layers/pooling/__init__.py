"""Poolings of frames into one vector an utterance, one kind a file; `POOLINGS` in the registry has them by name.

Each is built from the number of its input's channels, C, or C * F for maps (B, C, F, T), and says in `out_channels`
how many numbers an utterance gets.
"""
