"""Networks: layers one after another, a line of text or `Sequential(Dense(256), Relu(), ...)`.

A network is a tuple of layers, and its parameters are a tuple of arrays, W1, B1, W2, B2, ...: those
of the first layer that learns, of the second, and so on. Forward and backward are the same pure
functions for one image in a chain of maps (training/chain.py) and for a block of images at once.
"""

import contextlib
import dataclasses
import difflib
import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

import nn_math
from network.layers import (
    LAYERS,
    ROWS,
    SIDE,
    Activation,
    Arrays,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Key,
    Layer,
    NetworkError,
    Picture,
    Shape,
    Sigmoid,
    Softmax,
    cross_entropy,
)

Network = tuple[Layer, ...]

INPUT: Shape = (SIDE * SIDE,)
# A convolution copies the columns of this many images at a time; more do not fit into the cache.
IMAGES_AT_ONCE = 32
# Limits, so that a text from elsewhere costs little time and memory.
MOST_LAYERS = 100
MOST_PARAMETERS = 64_000_000  # with their gradients and Adam's two moments: 1 GB of float32
MOST_VALUES = 1_000_000  # of one image, in all layers: 128 MB of float32 for IMAGES_AT_ONCE
# How much of a text an error message shows: layers on each side of the wrong one, letters of each.
LAYERS_SHOWN, LETTERS_SHOWN = 3, 40


def Sequential(*layers: Layer) -> Network:  # noqa: N802, its name in PyTorch and Keras
    """A network of these layers, in this order."""
    return layers


@functools.cache
def read(text: str, outputs: int) -> Network:
    """The network that a text such as "dense 256, relu, dense, softmax" describes, for k outputs.

    Raises NetworkError, which marks the layer that is wrong.
    """
    count = text.count(",") + 1
    if count > MOST_LAYERS:
        raise NetworkError(f"it has {count:,} layers; a network has at most {MOST_LAYERS}")
    words = [" ".join(word.split()) for word in text.split(",")]
    layers = []
    for place, word in enumerate(words):
        with _marking(words, place):
            layers.append(_layer(word))
    return complete(tuple(layers), outputs)


def _layer(word: str) -> Layer:
    """The layer of a word and its numbers. Raises NetworkError."""
    name, *texts = word.split() or [""]
    kind = LAYERS.get(name.lower())
    if kind is None:
        hint = did_you_mean(name, LAYERS)
        raise NetworkError(f"no such layer; {hint}write one of: {forms()}")
    fields = dataclasses.fields(kind)
    required = [field for field in fields if field.default is dataclasses.MISSING]
    if not len(required) <= len(texts) <= len(fields):
        raise NetworkError(f"write `{kind.form()}`")
    numbers: list[float] = []
    for field, text in zip(fields, texts, strict=False):
        try:
            numbers.append(float(text) if field.type is float else int(text))
        except ValueError:
            whole = "" if field.type is float else "whole "
            raise NetworkError(f"{field.name.upper()} must be a {whole}number") from None
    return kind(*numbers)


def forms() -> str:
    """How to write each layer: "dense UNITS, conv FILTERS SIDE, ..."."""
    return ", ".join(kind.form() for kind in LAYERS.values())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question with the known word that is most similar to this one; "" if none is similar."""
    similar = difflib.get_close_matches(word[:LETTERS_SHOWN].lower(), known, 1)
    return f"did you mean {similar[0]}? " if similar else ""


def shown(word: str) -> str:
    """A word for an error message: shortened, and without codes that control a terminal."""
    if len(word) > LETTERS_SHOWN:
        word = f"{word[:LETTERS_SHOWN]}..."
    return word if word.isprintable() else ascii(word)


@contextlib.contextmanager
def _marking(words: Sequence[str], place: int) -> Iterator[None]:
    """Add the words around a place, with the word there marked, to a NetworkError's message."""
    try:
        yield
    except NetworkError as error:
        first, end = max(0, place - LAYERS_SHOWN), place + LAYERS_SHOWN + 1
        marked = [shown(word) for word in words[first:end]]
        marked[place - first] = f">>{marked[place - first]}<<"
        before = ["..."] if first > 0 else []
        after = ["..."] if end < len(words) else []
        raise NetworkError(f"{', '.join([*before, *marked, *after])}: {error}") from None


def text_of(network: Network) -> str:
    """The text from which `read` makes this network: "dense 64, sigmoid, dense 2, sigmoid"."""
    # `complete` will put in each Picture again.
    return ", ".join(layer.text() for layer in network if not isinstance(layer, Picture))


def complete(network: Network, outputs: int) -> Network:
    """The network for k outputs: shapes checked, `Picture` and `Flatten` put in where needed.

    Raises NetworkError, which marks the layer that is wrong.
    """
    words = [layer.text() for layer in network]
    whole: list[Layer] = []
    shape, parameters, values = INPUT, 0, 0
    for place, layer in enumerate(network):
        with _marking(words, place):
            _check_place(network, place)
            if layer == Dense():
                layer = Dense(outputs)
            for fitted in _fitted(layer, shape, whole):
                parameters += sum(map(math.prod, fitted.parameter_shapes(shape)))
                shape = fitted.output_shape(shape)
                values += math.prod(shape)
                whole.append(fitted)
            _check_size("parameters", parameters, MOST_PARAMETERS)
            _check_size("values of an image", values, MOST_VALUES)
    if shape != (outputs,):
        with _marking(words, learning_places(network)[-1]):
            size = " x ".join(map(str, shape))
            raise NetworkError(f"it gives {size} values for {outputs} classes; end with `dense`")
    return tuple(whole)


def _check_place(network: Network, place: int) -> None:
    """Raise NetworkError if the layer at this place may not stand there."""
    layer, learning = network[place], learning_places(network)
    if not learning:
        raise NetworkError("no layer learns; a network needs a dense or a conv layer")
    if layer == Dense() and place != learning[-1]:
        raise NetworkError("only the last dense may leave out UNITS, the number of classes")
    if place > learning[-1] and not isinstance(layer, Activation | Flatten):
        raise NetworkError("after the last layer that learns write only activations")
    if isinstance(layer, Softmax) and place != len(network) - 1:
        raise NetworkError("softmax must be the last layer")


def _check_size(name: str, count: int, most: int) -> None:
    if count > most:
        raise NetworkError(f"up to here there are {count:,} {name}; a network has at most {most:,}")


def _fitted(layer: Layer, shape: Shape, before: Sequence[Layer]) -> list[Layer]:
    """The layer, and before it a Flatten or Picture if its input is not what it takes."""
    if isinstance(layer, Flatten) and len(shape) == ROWS:
        return []  # already rows; Keras too allows it
    if layer.takes in (None, len(shape)):
        return [layer]
    if layer.takes == ROWS:
        return [Flatten(), layer]
    if any(earlier.takes is not None for earlier in before):
        raise NetworkError("it takes pictures, and its input is rows of numbers")
    return [Picture(), layer]


def input_shapes(network: Network) -> list[Shape]:
    """The shape of one image's value before each layer, and after the last."""
    shapes = [INPUT]
    for layer in network:
        shapes.append(layer.output_shape(shapes[-1]))
    return shapes


def is_article(network: Network) -> bool:
    """Whether it is the article's: dense, sigmoid, dense, sigmoid."""
    return [type(layer) for layer in network] == [Dense, Sigmoid, Dense, Sigmoid]


def initial_parameters(network: Network, seed: int, dtype: str = "float32") -> Arrays:
    """W1, B1, W2, B2, ... before the first epoch, drawn by the seed.

    The article's network for two classes starts as in the article, from U(-0.5, 0.5), any other as
    `Layer.initial` says. With k > 2 sigmoid outputs, their biases make each output start near 1/k;
    this assumes that H is 1/2 after a sigmoid, and 0 after any other activation. Outputs that start
    far lower have almost no gradient, and may never be learned.
    """
    shapes = input_shapes(network)
    ((outputs,), last) = shapes[-1], network[-1]
    if is_article(network) and outputs == 2:
        return nn_math.initial_parameters(seed, shapes[1][0], outputs, dtype)
    rng = nn_math.random_stream(seed)
    parameters: list[np.ndarray] = []
    learning = learning_places(network)
    for place, end in zip(learning, [*learning[1:], len(network)], strict=True):
        activations = [layer for layer in network[place:end] if isinstance(layer, Activation)]
        relu = any(layer.is_relu for layer in activations[:1])
        parameters += network[place].initial(rng, shapes[place], relu, dtype)
    if isinstance(last, Sigmoid) and outputs > 2:
        W, B = parameters[-2:]
        place = learning[-1]
        before = [layer for layer in network[:place] if not isinstance(layer, Dropout | Flatten)]
        H = 0.5 if before and isinstance(before[-1], Sigmoid) else 0.0
        parameters[-1] = (B - np.log(outputs - 1) - H * W.sum(axis=0)).astype(dtype)
    return tuple(parameters)


def parameter_names(count: int) -> list[str]:
    """The names of this many arrays: W1, B1, W2, B2, ..."""
    return [f"{'WB'[number % 2]}{number // 2 + 1}" for number in range(count)]


def parameter_shapes(network: Network) -> list[Shape]:
    """The shapes of W1, B1, W2, B2, ..."""
    pairs = zip(network, input_shapes(network), strict=False)
    return [shape for layer, before in pairs for shape in layer.parameter_shapes(before)]


def by_layer(network: Network, parameters: Arrays) -> list[Arrays]:
    """The parameters of each layer: (W, B), or () where it has none."""
    rest = iter(parameters)
    return [(next(rest), next(rest)) if layer.learns else () for layer in network]


def forward(
    network: Network, parameters: Arrays, X: np.ndarray, key: Key | None = None
) -> tuple[list, np.ndarray]:
    """What each backward map needs, and the outputs Y (n, k) of n images X (n, 784)."""
    kept, value = [], X
    by_place = by_layer(network, parameters)
    for place, layer in enumerate(network):
        layer_key = None if key is None else (*key, place)
        keep, value = layer.forward(value, by_place[place], layer_key)
        kept.append(keep)
    return kept, value


def outputs_of(network: Network, parameters: Arrays, X: np.ndarray) -> np.ndarray:
    """The outputs Y (n, k) for n images X (n, 784)."""
    parts = (X[rows] for rows in _chunks(network, len(X)))
    return np.concatenate([forward(network, parameters, part)[1] for part in parts])


def output_error(
    network: Network, Y_hat: np.ndarray, Y: np.ndarray, y_true: np.ndarray
) -> tuple[float, np.ndarray, int]:
    """E, its derivative, and Acc, of n images; Y^ is the input of the last layer.

    If the last layer is a softmax, E is the cross-entropy, and the derivative is for Y^. Otherwise
    E is the article's squared error, and it is for Y. In both cases it is Y - y*.
    """
    if isinstance(network[-1], Softmax):
        E = cross_entropy(Y_hat, y_true)
    else:
        E = nn_math.squared_error(Y, y_true)
    return E, Y - y_true, nn_math.correct(Y, y_true)


def learning_places(network: Network) -> list[int]:
    """The places of the layers that learn, in ascending order."""
    return [place for place, layer in enumerate(network) if layer.learns]


def backward_places(network: Network) -> range:
    """The places of the backward maps: from the last layer down to the first that learns."""
    return range(len(network) - 1, learning_places(network)[0] - 1, -1)


def backward(
    network: Network, place: int, kept: object, delta: np.ndarray, by_place: Sequence[Arrays]
) -> tuple[np.ndarray, Arrays]:
    """The backward map of a layer: delta for the next map, and (dB, dW) if the layer learns.

    `delta` is the derivative of E with respect to this layer's value. If the next layer learns, it
    is the derivative for that layer's value; its `input_delta`, such as dB2 W2^T, is computed here,
    as in the article's map 7. by_place: the parameters as `by_layer` returns them.
    """
    layer, behind = network[place], place + 1
    if behind < len(network) and network[behind].learns:
        delta = network[behind].input_delta(None, delta, by_place[behind])
    if layer.learns:
        dW, dB = layer.gradients(kept, delta)
        return delta, (dB, dW)
    return layer.input_delta(kept, delta, ()), ()


def batch_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray, key: Key
) -> tuple:
    """All maps on n images at once: (E, dB2, dW2, dB1, dW1, Acc, n), summed over X (n, 784)."""
    tuples = (
        _chunk_tuple(network, parameters, X[rows], y_true[rows], (*key, number))
        for number, rows in enumerate(_chunks(network, len(X)))
    )
    return functools.reduce(nn_math.add, tuples)


def _chunk_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray, key: Key
) -> tuple:
    kept, Y = forward(network, parameters, X, key)
    E, delta, Acc = output_error(network, kept[-1], Y, y_true)
    by_place = by_layer(network, parameters)
    gradients: Arrays = ()
    for place in backward_places(network):
        delta, more = backward(network, place, kept[place], delta, by_place)
        gradients = *gradients, *more
    return (E, *gradients, Acc, len(X))


def error_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray
) -> tuple[float, int, int]:
    """(E, Acc, n), summed over n images, without dropout."""
    tuples = []
    for rows in _chunks(network, len(X)):
        kept, Y = forward(network, parameters, X[rows])
        E, _, Acc = output_error(network, kept[-1], Y, y_true[rows])
        tuples.append((E, Acc, len(Y)))
    return functools.reduce(nn_math.add, tuples)


def _chunks(network: Network, n: int) -> list[slice]:
    rows = IMAGES_AT_ONCE if any(isinstance(layer, Conv) for layer in network) else max(1, n)
    return [slice(start, start + rows) for start in range(0, max(1, n), rows)]
