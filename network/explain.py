"""What `train.py --explain` prints: a network's maps, with the tuple and its shapes after each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from network.layers import Conv, Dense, Dropout, Flatten, MaxPool, Picture, Shape, Softmax
from network.sequential import (
    INPUT,
    Network,
    backward_places,
    input_shapes,
    parameter_names,
    parameter_shapes,
)

Named = tuple[str, Shape]  # an element of the tuple: its symbol and its shape; () for a number


class Map(NamedTuple):
    """One map of the chain: its layer's place, which way, what it computes, the tuple after it."""

    place: int
    back: bool
    computed: str
    after: list[Named]


def maps(network: Network) -> list[Map]:
    """The chain: the maps forward, then the maps backward."""
    names, shapes, named = value_names(network), input_shapes(network), named_shapes(network)
    values = [(name, _array(shape)) for name, shape in zip(names, shapes, strict=True)]
    chain = []
    for place in range(len(network)):
        computed = f"{names[place + 1]} = {_forward(network, names, place)}"
        after = [*values[: place + 2], ("y*", values[-1][1])]
        chain.append(Map(place, False, computed, after))
    gradients: list[Named] = []
    for place in backward_places(network):
        if network[place].learns:
            own = 2 * _number(network, place) - 2
            gradients += [(f"d{name}", shape) for name, shape in reversed(named[own : own + 2])]
            delta = []
        else:
            delta = [(_delta(network, names, place), values[place][1])]
        after = [*values[:place], ("E", ()), *gradients, *delta, ("Acc", ())]
        if place == backward_places(network)[-1]:
            after = [("E", ()), *gradients, ("Acc", ()), ("1", ())]
        chain.append(Map(place, True, _backward(network, names, place), after))
    return chain


def table(network: Network, dtype: str) -> str:
    """The chain of maps, the number of parameters, and the bytes that go to the reduce."""
    before = [("x", _array(INPUT)), ("y*", _array(input_shapes(network)[-1]))]
    rows = [("-", "", _tuple(before))]
    for number, (_, _, computed, after) in enumerate(maps(network), start=1):
        rows.append((str(number), computed, _tuple(after)))
    width = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{m:>{width[0]}}  {computed:<{width[1]}}  {after}" for m, computed, after in rows]
    return "\n".join([*lines, "", *_sizes(network, dtype)])


def value_names(network: Network) -> list[str]:
    """The symbols of the values before each layer and after the last: x, H^, H, Y^, Y.

    In deeper networks the hidden layers are numbered: H1^, H1, H2^, H2.
    """
    learners = sum(layer.learns for layer in network)
    names, number = ["x"], 0
    for layer in network:
        number += layer.learns
        symbol = "Y" if number == learners else "H" if learners == 2 else f"H{number}"
        if layer.learns:
            names.append(f"{symbol}^")
        elif isinstance(layer, Picture):
            names.append("x'")
        elif isinstance(layer, MaxPool | Flatten | Dropout):
            names.append(f"{names[-1]}'")
        else:
            names.append(symbol)
    return names


def _number(network: Network, place: int) -> int:
    """Which of the layers that learn this is, from 1."""
    return sum(layer.learns for layer in network[: place + 1])


def _forward(network: Network, names: Sequence[str], place: int) -> str:
    layer, before, number = network[place], names[place], _number(network, place)
    if isinstance(layer, Dense):
        return f"{before} W{number} + B{number}"
    if isinstance(layer, Conv):
        return f"{before} * W{number} + B{number}"
    return f"{type(layer).__name__.lower()}({before})"


def _delta(network: Network, names: Sequence[str], place: int) -> str:
    """The symbol of E's derivative by the value before a layer; dB2 where a dense layer gave it."""
    if place > 0 and isinstance(network[place - 1], Dense):
        return f"dB{_number(network, place - 1)}"
    return f"d{names[place]}"


def _backward(network: Network, names: Sequence[str], place: int) -> str:
    """What the map backward of a layer computes."""
    layer, before, behind = network[place], names[place], place + 1
    own, kind = _number(network, place), type(layer).__name__.lower()
    first, delta = "", _delta(network, names, behind)
    if behind == len(network):
        first, delta = "E, Acc, ", "(Y - y*)"
    elif isinstance(network[behind], Dense):
        number = _number(network, behind)
        delta = f"(dB{number} W{number}^T)"
    elif network[behind].learns:
        delta = f"({_delta(network, names, behind + 1)} through W{_number(network, behind)})"
    if isinstance(layer, Dense):
        derived = "" if delta == f"dB{own}" else f"dB{own} = {delta}, "
        return f"{first}{derived}dW{own} = {before}^T dB{own}"
    if layer.learns:
        return f"{first}dB{own}, dW{own} from {delta} and {before}"
    found = f"{first}{_delta(network, names, place)} = {delta}"
    if isinstance(layer, Softmax):
        return found
    if isinstance(layer, MaxPool | Flatten | Dropout):
        return f"{found} back through {kind}"
    return f"{found} * {kind}'({before})"


def named_shapes(network: Network) -> list[Named]:
    """W1, B1, W2, B2, ... with their shapes."""
    shapes = parameter_shapes(network)
    return list(zip(parameter_names(len(shapes)), shapes, strict=True))


def _array(shape: Shape) -> Shape:
    """The shape of one image's value in the chain: a row of numbers, or a picture with n = 1."""
    return (1, *shape) if len(shape) == 1 else (*shape, 1)


def _tuple(elements: Sequence[Named]) -> str:
    return f"({', '.join(' '.join([name, _written(shape)]).strip() for name, shape in elements)})"


def _written(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _sizes(network: Network, dtype: str) -> list[str]:
    """The number of parameters, and what an image and an epoch hand to the reduce."""
    named = named_shapes(network)
    count = sum(int(np.prod(shape)) for _, shape in named)
    size = count * np.dtype(dtype).itemsize
    return [
        f"{count:,} parameters: {', '.join(f'{name} {_written(shape)}' for name, shape in named)}",
        f"one image hands {size:,} bytes to the reduce ({dtype})",
        f"an epoch hands the driver {size:,} bytes from each partition",
    ]
