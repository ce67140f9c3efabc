"""Sums in the order of the partitions: who answers first does not matter.

It would in Spark's own `treeReduce`: sums of floats depend on their order.
"""

import functools
from collections.abc import Iterable, Iterator

from pyspark import RDD

from nn_math import add

# Up to this many tuples are added in one place, be it the driver or a task of the tree.
FAN_IN = 64
Numbered = tuple[int, tuple]


def sum_in_order(numbered: RDD) -> tuple:
    """Add (number, tuple) pairs by their numbers: in the driver, or in a tree if they are many.

    Neighbours are always added to neighbours. Raises ValueError if there are none.
    """
    while numbered.getNumPartitions() > FAN_IN:
        groups = -(-numbered.getNumPartitions() // FAN_IN)
        numbered = (
            numbered.map(lambda pair: (pair[0] // FAN_IN, pair))
            .partitionBy(groups, int)
            .mapPartitionsWithIndex(lambda group, keyed: _one_sum(group, (p for _, p in keyed)))
        )
    total = list(_one_sum(0, numbered.collect()))
    if not total:
        raise ValueError("nothing to add up")
    return total[0][1]


def _one_sum(number: int, pairs: Iterable[Numbered]) -> Iterator[Numbered]:
    """The sum of (number, tuple) pairs in ascending order, under a new number; none of none."""
    ordered = [summed for _, summed in sorted(pairs, key=lambda pair: pair[0])]
    if ordered:
        yield number, functools.reduce(add, ordered)
