"""Networks of layers, by name or built in a line, and how they learn: pure NumPy.

Knows no Spark, so that it runs in a map on any executor.
"""
