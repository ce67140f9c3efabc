"""The chain of maps for any network: one forward map and one backward map for each layer.

For the article's network this gives the eight maps that train.py writes out, and the same sums, bit
for bit. The maps pass on the article's tuple, grouped:

    forward   (kept, value, y*)                 after map 4: kept = (x, H, H, Y), value = Y
    backward  (kept, E, delta, gradients, Acc)  after map 6: kept = (x, H), gradients = (dB2, dW2)

`kept` holds what the backward maps need: the input of a dense layer, the value of a sigmoid. delta
is the derivative of E that the next map needs; after map 5 it is dB2.
"""

import zlib
from collections.abc import Callable

from pyspark import RDD, Broadcast

from network.layers import Arrays, Key
from network.sequential import Network, backward, backward_places, by_layer, output_error
from nn_math import Sums, add, as_sums, sample_seed
from runtime.spark import broadcast
from training.settings import Settings, network_of
from training.sums import empty_mini_batch_is_named


def chain_epoch(train_rdd: RDD, parameters: Arrays, settings: Settings, epoch: int) -> Sums:
    """An epoch by the chain; train_rdd holds pairs (x, y*). Raises EmptyMiniBatch."""
    network, key = network_of(settings), (settings.seed, epoch)
    mini_batch = train_rdd.sample(False, settings.fraction, sample_seed(settings.seed, epoch))
    layers = by_layer(network, parameters)
    with broadcast(train_rdd.context, layers) as p, empty_mini_batch_is_named():
        gradients = mini_batch
        for place in range(len(network)):
            gradients = gradients.map(forward_map(network, p, place, key))
        for place in backward_places(network):
            gradients = gradients.map(backward_map(network, p, place))
        return as_sums(gradients.reduce(add))


def forward_map(network: Network, p: Broadcast, place: int, key: Key) -> Callable[[tuple], tuple]:
    """The forward map of a layer: it returns (kept, value, y*). The first map receives (x, y*)."""
    layer, is_first_map = network[place], place == 0

    def step(elements: tuple) -> tuple:
        kept, value, y_true = ((), *elements) if is_first_map else elements
        image_key = None
        if layer.is_random:  # a map can identify an image only by its pixels
            image_key = *key, place, zlib.crc32(value.tobytes())
        parameters = p.value[place] if layer.learns else ()
        keep, value = layer.forward(value, parameters, image_key)
        return (*kept, keep), value, y_true

    return step


def backward_map(network: Network, p: Broadcast, place: int) -> Callable[[tuple], tuple]:
    """The backward map of a layer: it adds its gradients to (kept, E, delta, gradients, Acc).

    The first backward map receives (kept, value, y*); the last returns the tuple for the reduce.
    """
    places = backward_places(network)
    is_first_map, is_last_map = place == places[0], place == places[-1]

    def step(elements: tuple) -> tuple:
        if is_first_map:
            kept, Y, y_true = elements
            E, delta, Acc = output_error(network, kept[-1], Y, y_true)
            gradients: Arrays = ()
        else:
            kept, E, delta, gradients, Acc = elements
        delta, more = backward(network, place, kept[place], delta, p.value)
        gradients = *gradients, *more
        if is_last_map:
            return E, *gradients, Acc, 1
        return kept[:place], E, delta, gradients, Acc

    return step
