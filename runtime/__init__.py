"""How Spark starts, files at a place, and the command line.

Knows nothing of networks and images.
"""
