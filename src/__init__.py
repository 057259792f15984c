"""ECAPA-TDNN speaker verification on MindSpore. A room imports only rooms above it in the list of docs/design.md."""
