"""Clusters of processes on this machine, for the tests, the benchmarks and the demonstration.

They listen on loopback only and are stopped by their process ids, whatever happens.
"""
