"""An epoch by model averaging: each partition trains a copy, the driver takes the mean.

Zinkevich, Weimer, Li, Smola, "Parallelized Stochastic Gradient Descent" (NIPS 2010); for Spark:
Guo, Zhang, Jiang, Wu, Zhang, Cui, Li, "Model averaging in distributed machine learning: a case
study with Apache Spark" (VLDB Journal 2021).
"""

from collections.abc import Iterable, Iterator

from pyspark import RDD

from images.blocks import Block, as_rows
from network.layers import Arrays, State
from network.sequential import batch_tuple
from nn_math import Sums, as_sums, mean_gradients, random_stream
from runtime.spark import broadcast
from training.optimizers import OPTIMIZERS, with_weight_decay
from training.settings import Settings, network_of
from training.steps import rates_of_epoch
from training.sums import Numbered, sum_in_order


def averaging_epoch(blocks: RDD, parameters: Arrays, settings: Settings, epoch: int) -> Sums:
    """One pass over each partition, in batches. The optimizer's state starts empty in each pass.

    A partition draws n images, starts at theta and ends at theta_p. It returns n * (theta -
    theta_p) instead of a gradient. The driver then computes theta - (sum of these) / (all images),
    which is the mean of the theta_p, weighted by images. E and Acc of an image are measured before
    the step on its batch. Raises EmptyMiniBatch if --fraction leaves no image.
    """
    network, outputs = network_of(settings), len(settings.digits)
    step = OPTIMIZERS[settings.optimizer]
    first_rate, last_rate = rates_of_epoch(settings, epoch)

    def learn(partition: int, blocks_here: Iterable[Block]) -> Iterator[Numbered]:
        theta: Arrays = p.value
        state: State = {}
        error, right, met, t = 0.0, 0, 0, 0
        kept = list(blocks_here)
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
            differences = [met * (start - end) for start, end in zip(p.value, theta, strict=True)]
            yield partition, (error, *reversed(differences), right, met)

    with broadcast(blocks.context, parameters) as p:
        return as_sums(sum_in_order(blocks.mapPartitionsWithIndex(learn)))
