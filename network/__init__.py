"""Layers and the networks made of them: pure NumPy, with errors of their own.

Knows neither Spark nor the command line, so that it runs in a map on any executor.
"""
