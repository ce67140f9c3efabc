"""Clusters of processes on this machine, for the demonstration, the tests and the benchmarks.

They listen on loopback only and are stopped by their process ids, whatever happens.
"""
