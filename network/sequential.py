"""Networks: layers one after another, a line of text or `Sequential(Dense(256), Relu(), ...)`.

A network is a tuple of layers, and its parameters are a tuple of arrays, W1, B1, W2, B2, ...: those
of the first layer that learns, of the second, and so on. Forward and backward are the same pure
functions for one image in a chain of maps (training/chain.py) and for a block of images at once.
"""

import argparse
import dataclasses
import difflib
import functools
from collections.abc import Iterable, Sequence

import numpy as np

import nn_math
from network.layers import (
    SIDE,
    Arrays,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Key,
    Layer,
    MaxPool,
    Misfit,
    Picture,
    Relu,
    Shape,
    Sigmoid,
    Softmax,
    Tanh,
    cross_entropy,
)
from runtime.command_line import UserError

Network = tuple[Layer, ...]

# How a layer is written, and what it is.
WORDS: dict[str, type[Layer]] = {
    "dense": Dense,
    "conv": Conv,
    "maxpool": MaxPool,
    "flatten": Flatten,
    "dropout": Dropout,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": Relu,
    "softmax": Softmax,
}
FORMS = (
    "dense N, conv FILTERS SIDE, maxpool SIDE, flatten, dropout RATE, sigmoid, tanh, relu, softmax"
)
INPUT: Shape = (SIDE * SIDE,)
# Convolutions lay out their columns for so many images at a time: more would not fit the cache.
IMAGES_AT_ONCE = 32


def Sequential(*layers: Layer) -> Network:  # noqa: N802, its name in PyTorch and Keras
    """A network of these layers, in their order."""
    return layers


def network_of(settings: argparse.Namespace) -> Network:
    """The network of a run's settings."""
    return read(settings.network, len(settings.digits))


@functools.cache
def read(text: str, outputs: int) -> Network:
    """The network that a text such as "dense 256, relu, dense, softmax" describes, for k outputs.

    Raises UserError, which points at the word that does not fit.
    """
    words = [" ".join(word.split()) for word in text.split(",")]
    layers: list[Layer] = []
    for place, word in enumerate(words):
        try:
            layers.append(_layer(word))
        except Misfit as misfit:
            raise UserError(_pointed_at(words, place, misfit)) from None
    try:
        return complete(tuple(layers), outputs)
    except Misfit as misfit:
        place = len(words) - 1 if misfit.place is None else misfit.place
        raise UserError(_pointed_at(words, place, misfit)) from None


def _layer(word: str) -> Layer:
    """The layer of a word and its numbers. Raises Misfit."""
    name, *numbers = word.split() or [""]
    kind = WORDS.get(name.lower())
    if kind is None:
        raise Misfit(f"no such layer; {did_you_mean(name, WORDS)}here fits one of: {FORMS}")
    fields = dataclasses.fields(kind)
    required = [field for field in fields if field.default is dataclasses.MISSING]
    form = next(form for form in FORMS.split(", ") if form.startswith(name.lower()))
    if not len(required) <= len(numbers) <= len(fields):
        raise Misfit(f"it is written `{form}`")
    try:
        values = [
            float(number) if field.name == "rate" else int(number)
            for field, number in zip(fields, numbers, strict=False)
        ]
    except ValueError:
        raise Misfit(f"it is written `{form}`, with whole numbers but for a rate") from None
    return kind(*values)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question after the known word that is most like this one; nothing if none is."""
    similar = difflib.get_close_matches(word.lower(), known, 1)
    return f"did you mean {similar[0]}? " if similar else ""


def _pointed_at(words: Sequence[str], place: int, misfit: Misfit) -> str:
    # What a terminal would obey, in a settings.json of somebody else, is written out.
    words = [word if word.isprintable() else ascii(word) for word in words]
    marked = [f">>{word}<<" if i == place else word for i, word in enumerate(words)]
    return f"--network: {', '.join(marked)}: {misfit}"


def text_of(network: Network) -> str:
    """The text that `read` makes this network of: "dense 64, sigmoid, dense 2, sigmoid"."""
    names = {kind: word for word, kind in WORDS.items()}
    words = []
    for layer in network:
        if not isinstance(layer, Picture):  # put in by itself, as it was
            numbers = [value for value in dataclasses.astuple(layer) if value is not None]
            words.append(" ".join([names[type(layer)], *map(str, numbers)]))
    return ", ".join(words)


def complete(network: Network, outputs: int) -> Network:
    """The network for k outputs: shapes checked, `Picture` and `Flatten` put in where needed.

    Raises Misfit, with the place of the layer that does not fit.
    """
    learning = learning_places(network)
    if not learning:
        raise Misfit("it has nothing that learns; a network needs a dense or a conv layer")
    last = learning[-1]
    whole: list[Layer] = []
    shape = INPUT
    for place, layer in enumerate(network):
        try:
            if isinstance(layer, Dense) and layer.units is None:
                if place != last:
                    raise Misfit(
                        "only the last dense takes its width from the classes; give it one"
                    )
                layer = Dense(outputs)
            if place > last and isinstance(layer, Conv | MaxPool | Dropout):
                raise Misfit("after the last layer that learns fits only an activation")
            if isinstance(layer, Softmax) and place != len(network) - 1:
                raise Misfit("softmax fits only at the end, and once")
            for put in [*_put_in(layer, shape, whole), layer]:
                if isinstance(put, Flatten) and len(shape) == 1:
                    continue  # rows already, as in Keras, where one begins with it
                whole.append(put)
                shape = put.output_shape(shape)
            if place == last and isinstance(layer, Dense) and shape != (outputs,):
                raise Misfit(f"there are {outputs} classes: write `dense` or `dense {outputs}`")
        except Misfit as misfit:
            misfit.place = place
            raise
    if shape != (outputs,):
        values = " x ".join(map(str, shape))
        raise Misfit(f"the network ends with {values} values for {outputs} classes; add `dense`")
    return tuple(whole)


def _put_in(layer: Layer, shape: Shape, before: Sequence[Layer]) -> list[Layer]:
    """What has to come before a layer so that it gets rows or pictures, as it needs them."""
    if isinstance(layer, Conv | MaxPool) and len(shape) == 1:
        if any(isinstance(earlier, Dense | Flatten) for earlier in before):
            raise Misfit("it needs pictures, and what comes before it gives rows of numbers")
        return [Picture()]
    if isinstance(layer, Dense | Softmax) and len(shape) == 3:
        return [Flatten()]
    return []


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

    The article's network for two classes starts as in the article, from U(-0.5, 0.5). Others start
    with the weights of He or Glorot and biases 0; where k > 2 sigmoids are to tell one class from
    the others, their biases make each output start at 1/k where the H before them is 1/2 (0 after
    another activation than sigmoid). An output that starts far lower has next to no gradient, and
    momentum may never find its class.
    """
    shapes = input_shapes(network)
    ((outputs,), last) = shapes[-1], network[-1]
    if is_article(network) and outputs == 2:
        return nn_math.initial_parameters(seed, shapes[1][0], outputs, dtype)
    rng = nn_math.random_stream(seed)
    parameters: list[np.ndarray] = []
    for place, (layer, shape) in enumerate(zip(network, shapes[:-1], strict=True)):
        parameters += layer.initial(rng, shape, _before_relu(network, place), dtype)
    if isinstance(last, Sigmoid) and outputs > 2:
        W, B = parameters[-2:]
        place = learning_places(network)[-1]
        before = [layer for layer in network[:place] if not isinstance(layer, Dropout | Flatten)]
        H = 0.5 if before and isinstance(before[-1], Sigmoid) else 0.0
        parameters[-1] = (B - np.log(outputs - 1) - H * W.sum(axis=0)).astype(dtype)
    return tuple(parameters)


def _before_relu(network: Network, place: int) -> bool:
    """Whether the activation that follows a layer is a relu."""
    for layer in network[place + 1 :]:
        if isinstance(layer, Sigmoid | Tanh | Relu | Softmax) or layer.learns:
            return isinstance(layer, Relu)
    return False


def parameter_names(count: int) -> list[str]:
    """W1, B1, W2, B2, ... of so many arrays."""
    return [f"{'WB'[number % 2]}{number // 2 + 1}" for number in range(count)]


def parameter_shapes(network: Network) -> list[Shape]:
    """The shapes of W1, B1, W2, B2, ..."""
    shapes: list[Shape] = []
    for layer, before in zip(network, input_shapes(network), strict=False):
        drawn = layer.initial(np.random.default_rng(0), before, False, "float32")
        shapes += [array.shape for array in drawn]
    return shapes


def by_layer(network: Network, parameters: Arrays) -> list[Arrays]:
    """The parameters of each layer: (W, B), or () where it has none."""
    rest = iter(parameters)
    return [(next(rest), next(rest)) if layer.learns else () for layer in network]


def forward(
    network: Network, parameters: Arrays, X: np.ndarray, key: Key | None = None
) -> tuple[list, np.ndarray]:
    """What each map backward will want, and the outputs Y (n, k) of n images X (n, 784)."""
    kept, value = [], X
    for place, (layer, own) in enumerate(zip(network, by_layer(network, parameters), strict=True)):
        keep, value = layer.forward(value, own, key and (*key, place))
        kept.append(keep)
    return kept, value


def outputs_of(network: Network, parameters: Arrays, X: np.ndarray) -> np.ndarray:
    """The outputs Y (n, k) for n images X (n, 784)."""
    parts = (X[rows] for rows in _chunks(network, len(X)))
    return np.concatenate([forward(network, parameters, part)[1] for part in parts])


def output_error(
    network: Network, Y_hat: np.ndarray, Y: np.ndarray, y_true: np.ndarray
) -> tuple[float, np.ndarray, int]:
    """E, its derivative, and Acc, of n images; Y^ is what the last layer was given.

    After a softmax, E is the cross-entropy, and the derivative is by Y^; else E is the article's
    squared error, and the derivative is by Y. In both cases it is Y - y*.
    """
    if isinstance(network[-1], Softmax):
        E = cross_entropy(Y_hat, y_true)
    else:
        E = nn_math.squared_error(Y, y_true)
    return E, Y - y_true, nn_math.correct(Y, y_true)


def learning_places(network: Network) -> list[int]:
    """The places of the layers that learn, the first of them first."""
    return [place for place, layer in enumerate(network) if layer.learns]


def backward_places(network: Network) -> range:
    """The places of the layers that have a map backward: the last down to the first that learns."""
    return range(len(network) - 1, learning_places(network)[0] - 1, -1)


def learner_behind(network: Network, place: int) -> Layer | None:
    """The layer after one, if it learns."""
    behind = place + 1
    if behind < len(network) and network[behind].learns:
        return network[behind]
    return None


def backward(
    layer: Layer, kept: object, delta: np.ndarray, behind: Layer | None, parameters: Arrays
) -> tuple[np.ndarray, Arrays]:
    """The map backward of a layer: delta for the next one, and (dB, dW) if the layer learns.

    `delta` comes in as the derivative of E by this layer's value, or by that of the layer behind
    it, if that one learns: its part, such as dB2 W2^T, is done here, as in the article's map 7,
    with its parameters.
    """
    if behind is not None:
        delta = behind.input_delta(None, delta, parameters)
    if layer.learns:
        dW, dB = layer.gradients(kept, delta)
        return delta, (dB, dW)
    return layer.input_delta(kept, delta, ()), ()


def batch_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray, key: Key
) -> tuple:
    """All maps on n images at once: (E, dB2, dW2, dB1, dW1, Acc, n), summed over X (n, 784)."""
    chunks = _chunks(network, len(X))
    tuples = (
        _chunk_tuple(network, parameters, X[rows], y_true[rows], (*key, number))
        for number, rows in enumerate(chunks)
    )
    return functools.reduce(nn_math.add, tuples)


def _chunk_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray, key: Key
) -> tuple:
    kept, Y = forward(network, parameters, X, key)
    E, delta, Acc = output_error(network, kept[-1], Y, y_true)
    own = *by_layer(network, parameters), ()
    gradients: Arrays = ()
    for place in backward_places(network):
        behind = learner_behind(network, place)
        delta, more = backward(network[place], kept[place], delta, behind, own[place + 1])
        gradients = *gradients, *more
    return (E, *gradients, Acc, len(X))


def error_tuple(
    network: Network, parameters: Arrays, X: np.ndarray, y_true: np.ndarray
) -> tuple[float, int, int]:
    """(E, Acc, n), summed over n images that are not trained on."""
    tuples = []
    for rows in _chunks(network, len(X)):
        kept, Y = forward(network, parameters, X[rows])
        E, _, Acc = output_error(network, kept[-1], Y, y_true[rows])
        tuples.append((E, Acc, len(Y)))
    return functools.reduce(nn_math.add, tuples)


def leaves_to_chance(network: Network) -> bool:
    """Whether a layer draws random numbers in training."""
    return any(isinstance(layer, Dropout) for layer in network)


def _chunks(network: Network, n: int) -> list[slice]:
    rows = IMAGES_AT_ONCE if any(isinstance(layer, Conv) for layer in network) else max(1, n)
    return [slice(start, start + rows) for start in range(0, max(1, n), rows)]
