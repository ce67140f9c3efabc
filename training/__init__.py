"""How a run may vary: settings, recipes, optimizers, and the other ways to compute an epoch."""
