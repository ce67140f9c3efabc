"""What `train.py --explain` prints: the maps of a network, with the tuple and shapes after each."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from network.layers import Activation, Shape
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
    """A map of the chain: its layer's place, whether it goes backward, its formula, its tuple."""

    place: int
    back: bool
    formula: str
    after: list[Named]


def maps(network: Network) -> list[Map]:
    """The chain: the forward maps, then the backward maps."""
    symbols, inputs, places = _symbols(network), input_shapes(network), backward_places(network)
    values = list(zip(value_names(network), map(_array, inputs), strict=True))
    chain = []
    for place, layer in enumerate(network):
        name, computed = symbols[place]["value"], layer.forward_formula.format(**symbols[place])
        after = [*values[: place + 2], ("y*", values[-1][1])]
        chain.append(Map(place, False, f"{name} = {computed}", after))
    gradients: list[Named] = []
    for place in places:
        layer, own, delta = network[place], symbols[place], _delta(network, symbols, place)
        if layer.learns:
            formula = layer.gradients_formula.format(**own)
            if delta != own["delta"]:
                formula = f"{own['delta']} = {delta}, {formula}"
            W_shape, B_shape = layer.parameter_shapes(inputs[place])
            gradients += [(f"dB{own['l']}", B_shape), (f"dW{own['l']}", W_shape)]
            passed_on = own["delta"], values[place + 1][1]
        else:
            passed_on = symbols[place - 1]["delta"], values[place][1]
            computed = layer.input_delta_formula.format(**own | {"delta": delta})
            formula = f"{passed_on[0]} = {computed}"
        if place == places[0]:
            formula = f"E, Acc, {formula}"
        derivatives = dict.fromkeys([*gradients, passed_on])  # a dense layer passes on its dB
        after = [*values[:place], ("E", ()), *derivatives, ("Acc", ())]
        if place == places[-1]:
            after = [("E", ()), *gradients, ("Acc", ()), ("1", ())]
        chain.append(Map(place, True, formula, after))
    return chain


def table(network: Network, dtype: str) -> str:
    """The chain of maps, the number of parameters, and the bytes that the reduce adds and sends."""
    before = [("x", _array(INPUT)), ("y*", _array(input_shapes(network)[-1]))]
    rows = [("-", "", _tuple(before))]
    for number, (_, _, formula, after) in enumerate(maps(network), start=1):
        rows.append((str(number), formula, _tuple(after)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{m:>{widths[0]}}  {formula:<{widths[1]}}  {after}" for m, formula, after in rows]
    return "\n".join([*lines, "", *_sizes(network, dtype)])


def value_names(network: Network) -> list[str]:
    """The symbols of the image and of each layer's value, all different: x, H^, H, Y^, Y.

    Where more than two layers learn, the hidden ones are numbered: H1^, H1, H2^, H2. A value
    without a symbol of its own gets a prime: x', H1^'.
    """
    learners = sum(layer.learns for layer in network)
    names, symbol, number = ["x"], "x", 0
    for layer in network:
        if layer.learns:
            number += 1
            symbol = "H" if learners == 2 else f"H{number}"
            if number == learners:
                symbol = "Y"
            names.append(f"{symbol}^")
        elif isinstance(layer, Activation) and symbol not in names:
            names.append(symbol)
        else:
            names.append(f"{names[-1]}'")
    return names


def _symbols(network: Network) -> list[dict[str, Any]]:
    """For each layer, what stands in its formulas."""
    names, found, number = value_names(network), [], 0
    for layer, a, value in zip(network, names, names[1:], strict=False):
        number += layer.learns
        known = {"word": layer.word, "a": a, "value": value, "l": number}
        found.append(known | {"delta": layer.delta_symbol.format(**known)})
    return found


def _delta(network: Network, symbols: list[dict[str, Any]], place: int) -> str:
    """The derivative of E for a layer's value, as its backward map gets it or computes it."""
    if place == len(network) - 1:
        return f"({symbols[place]['value']} - y*)"
    behind = network[place + 1]
    if behind.learns:
        return behind.input_delta_formula.format(**symbols[place + 1])
    return symbols[place]["delta"]


def _array(shape: Shape) -> Shape:
    """The shape of one image's value in the chain: a row of numbers, or a picture with n = 1."""
    return (1, *shape) if len(shape) == 1 else (*shape, 1)


def _tuple(elements: Sequence[Named]) -> str:
    return f"({', '.join(f'{name} {_size(shape)}'.strip() for name, shape in elements)})"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _sizes(network: Network, dtype: str) -> list[str]:
    """The number of parameters, and the bytes of their gradients in the reduce."""
    shapes = parameter_shapes(network)
    named = zip(parameter_names(len(shapes)), shapes, strict=True)
    count = sum(map(math.prod, shapes))
    size = count * np.dtype(dtype).itemsize
    return [
        f"{count:,} parameters: {', '.join(f'{name} {_size(shape)}' for name, shape in named)}",
        f"the gradients of one image have {size:,} bytes ({dtype})",
        f"in an epoch each partition sends the driver their sum, {size:,} bytes",
    ]
