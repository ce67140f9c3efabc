"""The files of a run: model files, checkpoints, scores, and the claim on their folder.

Every file is written completely or not at all. No file is ever unpickled.
"""
