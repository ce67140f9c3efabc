"""The chain of maps of any network, made from its layers: one map forward and one backward each.

For the article's network these are the eight maps that train.py writes out, and they give the same
sums, bit for bit. The tuple that the maps pass on is the article's, grouped:

    forward   (kept, value, y*)                 after map 4: kept = (x, H, H, Y), value = Y
    backward  (kept, E, delta, gradients, Acc)  after map 6: kept = (x, H), gradients = (dB2, dW2)

`kept` has what each map backward needs: for a dense layer its input, for a sigmoid its value. delta
is dB2 or, in general, the derivative of E that the next map continues from.
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
    network = network_of(settings)
    is_random = any(layer.is_random for layer in network)
    key = (settings.seed, epoch) if is_random else None
    mini_batch = train_rdd.sample(False, settings.fraction, sample_seed(settings.seed, epoch))
    layers = by_layer(network, parameters)
    with broadcast(train_rdd.context, layers) as p, empty_mini_batch_is_named():
        gradients = mini_batch
        for place in range(len(network)):
            gradients = gradients.map(forward_map(network, p, place, key))
        for place in backward_places(network):
            gradients = gradients.map(backward_map(network, p, place))
        return as_sums(gradients.reduce(add))


def forward_map(
    network: Network, p: Broadcast, place: int, key: Key | None
) -> Callable[[tuple], tuple]:
    """The map forward of a layer: (kept, value, y*) with its value. The first takes (x, y*)."""
    layer, is_first_map = network[place], place == 0

    def step(elements: tuple) -> tuple:
        kept, value, y_true = ((), *elements) if is_first_map else elements
        image_key = None
        if key is not None:  # a map knows an image by its pixels alone
            image_key = *key, place, zlib.crc32(value.tobytes())
        parameters = p.value[place] if layer.learns else ()
        keep, value = layer.forward(value, parameters, image_key)
        return (*kept, keep), value, y_true

    return step


def backward_map(network: Network, p: Broadcast, place: int) -> Callable[[tuple], tuple]:
    """The map backward of a layer: (kept, E, delta, gradients, Acc) with what this layer adds.

    The first, of the last layer, takes (kept, value, y*); the last gives the tuple for the reduce.
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
