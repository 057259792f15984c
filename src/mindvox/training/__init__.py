"""Training: schedule, compiled step, loop, checkpoints."""
