"""How a scene is fitted: steps, batches, losses, the optimizer, what acts between steps, evaluation."""
