"""The options of a run: settings, recipes, optimizers, and the other ways to compute an epoch."""
