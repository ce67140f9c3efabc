"""The chain of maps of any network, made from its layers: one map forward and one backward each.

For the article's network these are the eight maps that stand written out in train.py, and they
give the same sums, bit for bit. What the maps hand on is the article's tuple, in parts:

    forward   (kept, value, y*)                 after map 4: kept = (x, H^, H, Y^), value = Y
    backward  (kept, E, delta, gradients, Acc)  after map 6: kept = (x, H^), gradients = (dB2, dW2)

where delta is dB2 or, in general, the derivative of E that the next map goes on from.
"""

import argparse
import zlib
from collections.abc import Callable

from pyspark import RDD, Broadcast

from network.layers import Arrays, Key
from network.sequential import (
    Network,
    backward,
    backward_places,
    by_layer,
    learner_behind,
    leaves_to_chance,
    network_of,
    output_error,
)
from nn_math import Sums, add, as_sums, sample_seed
from runtime.spark import broadcast


def chain_epoch(
    train_rdd: RDD, parameters: Arrays, settings: argparse.Namespace, epoch: int
) -> Sums:
    """An epoch by the chain; train_rdd holds pairs (x, y*). Raises ValueError if none is drawn."""
    network = network_of(settings)
    key = (settings.seed, epoch) if leaves_to_chance(network) else None
    gradients = train_rdd.sample(False, settings.fraction, sample_seed(settings.seed, epoch))
    with broadcast(train_rdd.context, by_layer(network, parameters)) as own:
        for place in range(len(network)):
            gradients = gradients.map(forward_map(network, own, place, key))
        for place in backward_places(network):
            gradients = gradients.map(backward_map(network, own, place))
        return as_sums(gradients.reduce(add))


def forward_map(
    network: Network, own: Broadcast, place: int, key: Key | None
) -> Callable[[tuple], tuple]:
    """The map forward of a layer: (kept, value, y*) with its own value. The first takes (x, y*)."""
    layer, is_first_map = network[place], place == 0

    def step(elements: tuple) -> tuple:
        kept, value, y_true = ((), *elements) if is_first_map else elements
        image_key = None
        if key is not None:  # a map knows an image by its pixels alone
            image_key = *key, place, zlib.crc32(value.tobytes())
        parameters = own.value[place] if layer.learns else ()
        keep, value = layer.forward(value, parameters, image_key)
        return (*kept, keep), value, y_true

    return step


def backward_map(network: Network, own: Broadcast, place: int) -> Callable[[tuple], tuple]:
    """The map backward of a layer: (kept, E, delta, gradients, Acc) with what this layer adds.

    The first, of the last layer, takes (kept, value, y*); the last gives the tuple for the reduce.
    """
    layer, behind = network[place], learner_behind(network, place)
    places = backward_places(network)
    is_first_map, is_last_map = place == places[0], place == places[-1]

    def step(elements: tuple) -> tuple:
        if is_first_map:
            kept, Y, y_true = elements
            E, delta, Acc = output_error(network, kept[-1], Y, y_true)
            gradients: Arrays = ()
        else:
            kept, E, delta, gradients, Acc = elements
        parameters = () if behind is None else own.value[place + 1]
        delta, more = backward(layer, kept[place], delta, behind, parameters)
        gradients = *gradients, *more
        if is_last_map:
            return E, *gradients, Acc, 1
        return kept[:place], E, delta, gradients, Acc

    return step
