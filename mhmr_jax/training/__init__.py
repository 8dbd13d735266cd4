"""The training step and its loss, the loop, checkpoints and metrics."""
