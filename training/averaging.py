"""An epoch by model averaging: each partition learns on its own, the driver takes the mean.

Zinkevich, Weimer, Li, Smola, "Parallelized Stochastic Gradient Descent" (NIPS 2010); for Spark:
Guo, Zhang, Jiang, Wu, Zhang, Cui, Li, "Model averaging in distributed machine learning: a case
study with Apache Spark" (VLDB Journal 2021).
"""

import argparse
from collections.abc import Iterable, Iterator

from pyspark import RDD

from images.blocks import Block, as_rows
from network.layers import Arrays
from network.sequential import batch_tuple, network_of
from nn_math import Sums, as_sums, mean_gradients, random_stream
from runtime.spark import broadcast
from training.optimizers import OPTIMIZERS, State, with_weight_decay
from training.sums import Numbered, sum_in_order


def averaging_epoch(
    blocks: RDD, parameters: Arrays, settings: argparse.Namespace, epoch: int
) -> Sums:
    """One pass of mini-batches in each partition, with the optimizer there, fresh in each pass.

    Where a partition of n images ends at theta_p, it hands in n (theta - theta_p) in place of a
    gradient: theta - (sum of these) / n is then the mean of the theta_p, weighted by images. E and
    Acc are those of each image when it was met. Raises ValueError if --fraction leaves no image.
    """
    network, outputs = network_of(settings), len(settings.digits)
    step = OPTIMIZERS[settings.optimizer]
    first_rate, last_rate = settings.learning_rate, settings.last_rate

    def learn(partition: int, own: Iterable[Block]) -> Iterator[Numbered]:
        theta: Arrays = p.value
        state: State = {}
        error, right, met, t = 0.0, 0, 0, 0
        kept = list(own)
        drawn = [round(settings.fraction * len(labels)) for _, labels in kept]
        for number, (images, labels) in enumerate(kept):
            key = settings.seed, epoch, partition, number
            order = random_stream(*key).permutation(len(images))[: drawn[number]]
            X, y_true = as_rows(images[order], labels[order], outputs, settings.dtype)
            for start in range(0, len(order), settings.batch_size):
                batch = slice(start, start + settings.batch_size)
                t += 1
                sums = as_sums(batch_tuple(network, theta, X[batch], y_true[batch], (*key, t)))
                gradients = with_weight_decay(mean_gradients(sums), theta, settings.weight_decay)
                rate = first_rate + (last_rate - first_rate) * met / sum(drawn)
                theta, state = step(theta, gradients, state, rate, t)
                error, right, met = error + sums.E, right + sums.Acc, met + sums.n
        if met:
            ways = [met * (start - end) for start, end in zip(p.value, theta, strict=True)]
            yield partition, (error, *reversed(ways), right, met)

    with broadcast(blocks.context, parameters) as p:
        return as_sums(sum_in_order(blocks.mapPartitionsWithIndex(learn)))
