"""Fine-tuning: configuration, data, losses, methods, the trainer, and what goes around it. Needs the `train` extra."""
