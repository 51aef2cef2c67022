"""Training runs: experiment, optimiser, losses, the trainer, resuming."""
