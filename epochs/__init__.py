"""The other shapes of an epoch: whole partitions, model averaging, and their sums in order.

Each is a function of (train_rdd, parameters, settings, epoch) that returns Sums, as the chain is.
"""
