"""What a run leaves: model files, checkpoints, figures.

Every file appears whole or not at all, and none is ever unpickled.
"""
