"""Speaker verification on MindSpore. A package imports only packages above it in the list of docs/design.md."""
