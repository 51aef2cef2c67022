"""Training runs: experiment, optimiser, losses, trainer, resume state."""
