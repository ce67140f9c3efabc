"""How Spark starts, files at a place, and how the scripts talk to a person.

Knows nothing of networks and images.
"""
