"""What a network consists of, and the driver's step: pure NumPy.

Knows no Spark, so that it runs in a map on any executor.
"""
