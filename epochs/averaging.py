"""An epoch by model averaging: each partition learns on its own, the driver takes the mean.

Zinkevich, Weimer, Li, Smola, "Parallelized Stochastic Gradient Descent" (NIPS 2010); for Spark:
Guo, Zhang, Jiang, Wu, Zhang, Cui, Li, "Model averaging in distributed machine learning: a case
study with Apache Spark" (VLDB Journal 2021).
"""

import argparse
from collections.abc import Iterable, Iterator

from pyspark import RDD

from epochs.partitions import sum_in_order
from images.blocks import Block, as_rows
from network.optimizers import sgd, with_weight_decay
from nn_math import Parameters, Sums, batch_sums, mean_gradients, random_stream
from runtime.spark import broadcast


def averaging_epoch(
    blocks: RDD, parameters: Parameters, settings: argparse.Namespace, epoch: int
) -> Sums:
    """One pass of mini-batch SGD in each partition, as sums for the driver's step.

    Where a partition of n images ends at theta_p, its share is n (theta - theta_p) / alpha in place
    of a gradient. The step theta - alpha * (sum of shares) / n is then the mean of the theta_p,
    weighted by images. E and Acc are those of each image when it was met. Raises ValueError if
    --fraction leaves no image.
    """
    p = broadcast(blocks.context, parameters)
    alpha, decay = settings.learning_rate, settings.weight_decay

    def learn(partition: int, own: Iterable[Block]) -> Iterator[tuple[int, Sums]]:
        local, error, right, met = p.value, 0.0, 0, 0
        for number, (images, labels) in enumerate(own):
            chance = random_stream(settings.seed, epoch, partition, number)
            order = chance.permutation(len(images))[: round(settings.fraction * len(images))]
            X, y_true = as_rows(images, labels, local.B2.shape[1], local.W1.dtype)
            for start in range(0, len(order), settings.batch_size):
                batch = order[start : start + settings.batch_size]
                sums = batch_sums(X[batch], y_true[batch], local)
                gradients = with_weight_decay(mean_gradients(sums), local, decay)
                local, _ = sgd(local, gradients, {}, alpha, epoch)
                error, right, met = error + sums.E, right + sums.Acc, met + sums.n
        if met:
            ways = (met * (start - end) / alpha for start, end in zip(p.value, local, strict=True))
            # The driver's step adds weight decay, which the steps above have had: take it off here.
            share = with_weight_decay(Parameters(*ways), p.value, -decay * met)
            yield partition, Sums(error, share.B2, share.W2, share.B1, share.W1, right, met)

    try:
        return sum_in_order(blocks.mapPartitionsWithIndex(learn))
    finally:
        p.destroy()
