"""What a run leaves: model files and checkpoints, and who may write them.

Every file appears whole or not at all, and none is ever unpickled.
"""
