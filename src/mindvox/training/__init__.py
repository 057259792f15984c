"""Training: schedule, compiled step, loop and checkpoints."""
