"""The layers of a network: immutable values with pure functions of n images at once.

Rows of numbers are (n, size), pictures (height, channels, width, n): so rows of a picture that
follow each other, in all channels and all images, lie together in memory, as a convolution wants
them. Each layer is one map forward and one map backward:

    forward(a, parameters, key) -> (kept, value)    `kept` is what the map backward will want
    gradients(kept, delta) -> (dW, dB)              map backward of a layer with parameters
    input_delta(kept, delta, parameters) -> delta   map backward of a layer without; a layer with
                                                    parameters leaves it to the next map backward

`delta` is the derivative of the error E by a layer's value. The symbols are the article's: a dense
layer computes H^ = x W + B, its activation H. `key` names the random numbers of these images in
this epoch (see nn_math.random_stream); it is None in predicting, which leaves nothing to chance.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn_math import (
    affine,
    bias_gradient,
    input_delta,
    random_stream,
    sigmoid,
    sigmoid_prime,
    weight_gradient,
)

# Of one image's value: (size,), or (channels, height, width), as is usual, however it is laid out.
Shape = tuple[int, ...]
Arrays = tuple[np.ndarray, ...]  # the parameters of a layer: (W, B), or none
State = dict[str, Arrays]  # an optimizer's arrays, in the shapes of the parameters
Key = tuple[int, ...]
SIDE = 28


class Misfit(ValueError):
    """A layer does not fit; the text says what would. `place`: where it stands in its network."""

    place: int | None = None


@dataclass(frozen=True)
class Layer(ABC):
    """What most layers share: no parameters, and a value of the shape that came in."""

    learns = False

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's value after this layer. Raises Misfit."""
        return shape

    def initial(self, rng: np.random.Generator, shape: Shape, relu: bool, dtype: str) -> Arrays:
        """W and B of a layer that learns; `relu`: the activation that follows is one."""
        return ()

    @abstractmethod
    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """What the map backward will want, and the value."""

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW and dB, summed over the images."""
        return ()

    @abstractmethod
    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """The derivative of E by what came in."""


MOST = 65536  # units, filters, or a side


def _check_number(name: str, number: int) -> None:
    if not 1 <= number <= MOST:
        raise Misfit(f"the number of {name} is at least 1 and at most {MOST}, not {number}")


def _check_side(side: int, shape: Shape) -> None:
    if min(shape[1:]) < side:
        size = "x".join(map(str, shape[1:]))
        raise Misfit(f"what comes before it is {size}: a side of at most {min(shape[1:])} fits")


def initial_weights(
    rng: np.random.Generator, shape: Shape, inputs: int, outputs: int, relu: bool, dtype: str
) -> np.ndarray:
    """Uniform weights of variance 2 / inputs before a relu, else 2 / (inputs + outputs).

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers" (2015); Glorot, Bengio, "Understanding the
    difficulty of training deep feedforward neural networks" (2010).
    """
    variance = 2 / inputs if relu else 2 / (inputs + outputs)
    limit = (3 * variance) ** 0.5
    return rng.uniform(-limit, limit, shape).astype(dtype)


@dataclass(frozen=True)
class Dense(Layer):
    """a W + B: `units` weighted sums of all inputs; None stands for as many as there are classes.

    W (inputs, units), B (1, units); a (n, inputs) -> (n, units).
    """

    units: int | None = None
    learns = True

    def __post_init__(self) -> None:
        if self.units is not None:
            _check_number("units", self.units)

    def output_shape(self, shape: Shape) -> Shape:
        """(units,)."""
        assert self.units is not None, "the network is complete"
        return (self.units,)

    def initial(self, rng: np.random.Generator, shape: Shape, relu: bool, dtype: str) -> Arrays:
        """Weights by He or Glorot, biases 0."""
        ((inputs,), (units,)) = shape, self.output_shape(shape)
        W = initial_weights(rng, (inputs, units), inputs, units, relu, dtype)
        return W, np.zeros((1, units), dtype)

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H^ = a W + B."""
        return a, affine(a, *parameters)

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW = a^T delta, dB = delta."""
        return weight_gradient(kept, delta), bias_gradient(delta)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta W^T."""
        return input_delta(delta, parameters[0])


@dataclass(frozen=True)
class Conv(Layer):
    """`filters` windows of side x side, moved over a picture, without padding; stride 1.

    W (filters, channels, side, side), B (1, filters); a (h, channels, w, n) ->
    (h - side + 1, filters, w - side + 1, n). The value at (y, x) is the sum over channel, i, j of
    W[:, channel, i, j] * a[y + i, channel, x + j], plus B: a cross-correlation, as is usual.

    What a window meets, laid out as columns, makes that a matrix product (Chellapilla, Puri,
    Simard, "High Performance Convolutional Neural Networks", 2006). Here only the `side` slices
    along a row are copied, j by j; the rows y to y + side of these columns are one matrix already.
    """

    filters: int
    side: int
    learns = True

    def __post_init__(self) -> None:
        _check_number("filters", self.filters)
        _check_number("side", self.side)

    def output_shape(self, shape: Shape) -> Shape:
        """(filters, height, width). Raises Misfit."""
        _check_side(self.side, shape)
        return self.filters, shape[1] - self.side + 1, shape[2] - self.side + 1

    def initial(self, rng: np.random.Generator, shape: Shape, relu: bool, dtype: str) -> Arrays:
        """Weights by He or Glorot, biases 0."""
        window = self.side * self.side
        W_shape = self.filters, shape[0], self.side, self.side
        inputs, outputs = shape[0] * window, self.filters * window
        W = initial_weights(rng, W_shape, inputs, outputs, relu, dtype)
        return W, np.zeros((1, self.filters), dtype)

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """W windows + B; keeps the columns (height, channels, side, width, n)."""
        W, B = parameters
        height, channels, width, n = a.shape
        height, width = height - self.side + 1, width - self.side + 1
        columns = np.empty((len(a), channels, self.side, width, n), a.dtype)
        for j in range(self.side):
            columns[:, :, j] = a[:, :, j : j + width]
        value, W_rows = np.empty((height, self.filters, width, n), a.dtype), self._in_rows(W)
        for y in range(height):
            row = value[y].reshape(self.filters, -1)
            np.matmul(W_rows, self._window(columns, y), out=row)
            row += B.T
        return columns, value

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW = delta windows^T, dB = delta, both summed over all places."""
        # The long side first: BLAS takes three quarters of the time that delta windows^T takes.
        dW = sum(
            self._window(kept, y) @ row.reshape(self.filters, -1).T for y, row in enumerate(delta)
        )
        dW = dW.reshape(self.side, kept.shape[1], self.side, self.filters)
        dB = delta.reshape(len(delta), self.filters, -1).sum(axis=2).sum(axis=0, keepdims=True)
        return dW.transpose(3, 1, 0, 2).copy(), dB

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """W^T delta is by the columns; each number goes back to where it was copied from.

        Row y of the columns met the rows y - side + 1 to y of the value, with the last row of W
        first: one matrix product, as these rows of delta are one matrix already.
        """
        (W, _), side = parameters, self.side
        height, _, width, n = delta.shape
        channels, height_before = W.shape[1], height + side - 1
        # (channels * side, side * filters), in the order of the rows of a row of columns.
        W_columns = W[:, :, ::-1].transpose(1, 3, 2, 0).reshape(channels * side, -1)
        columns = np.empty((height_before, channels, side, width, n), delta.dtype)
        for y, row in enumerate(columns):
            first = y - side + 1
            met = delta[max(0, first) : y + 1].reshape(-1, width * n)
            skipped = max(0, -first) * self.filters
            W_met = W_columns[:, skipped : skipped + len(met)]
            np.matmul(W_met, met, out=row.reshape(channels * side, -1))
        before = np.zeros((height_before, channels, width + side - 1, n), delta.dtype)
        for j in range(side):
            before[:, :, j : j + width] += columns[:, :, j]
        return before

    def _in_rows(self, W: np.ndarray) -> np.ndarray:
        """W (filters, side * channels * side), in the order of the rows of a window."""
        return W.swapaxes(1, 2).reshape(self.filters, -1)

    def _window(self, columns: np.ndarray, y: int) -> np.ndarray:
        """The rows y to y + side of the columns, (side * channels * side, width * n), no copy."""
        _, _, _, width, n = columns.shape
        return columns[y : y + self.side].reshape(-1, width * n)


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest of each side x side window; what does not fill a window is left out.

    a (h, channels, w, n) -> (h // side, channels, w // side, n).
    """

    side: int

    def __post_init__(self) -> None:
        _check_number("side", self.side)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, height, width). Raises Misfit."""
        _check_side(self.side, shape)
        return shape[0], shape[1] // self.side, shape[2] // self.side

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """The maxima; keeps which of its window each is, of equal ones the first, and a's shape."""
        places = self._places(a.shape)
        value = a[places[0]].copy()
        number_type = np.min_scalar_type(len(places)).type  # few bytes: quicker to go through
        winner = np.zeros(value.shape, number_type)
        for number, place in enumerate(places[1:], start=1):
            larger = a[place] > value
            np.maximum(value, a[place], out=value)
            np.maximum(winner, larger * number_type(number), out=winner)
        return (winner, a.shape), value

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta where the maximum was, 0 elsewhere."""
        winner, shape = kept
        before = np.zeros(shape, delta.dtype)
        for number, place in enumerate(self._places(shape)):
            np.multiply(delta, winner == number, out=before[place])
        return before

    def _places(self, shape: Shape) -> list[tuple[slice, ...]]:
        """For each place in a window, the slices that take this place of all windows."""
        height, width = shape[0] // self.side * self.side, shape[2] // self.side * self.side
        offsets = [(i, j) for i in range(self.side) for j in range(self.side)]
        return [
            (slice(i, height, self.side), slice(None), slice(j, width, self.side))
            for i, j in offsets
        ]


@dataclass(frozen=True)
class Picture(Layer):
    """Rows of 784 pixels as pictures of one channel: a (n, 784) -> (28, 1, 28, n)."""

    def output_shape(self, shape: Shape) -> Shape:
        """(1, 28, 28)."""
        return 1, SIDE, SIDE

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """The same pixels, images last."""
        return None, np.ascontiguousarray(a.T).reshape(SIDE, 1, SIDE, len(a))

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """The same numbers as rows."""
        return delta.reshape(SIDE * SIDE, -1).T


@dataclass(frozen=True)
class Flatten(Layer):
    """Pictures as rows, channel by channel: a (h, channels, w, n) -> (n, channels h w)."""

    def output_shape(self, shape: Shape) -> Shape:
        """(channels * height * width,)."""
        return (int(np.prod(shape)),)

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """The same numbers as rows; keeps the shape."""
        return a.shape, a.transpose(3, 1, 0, 2).reshape(a.shape[-1], -1)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """The same numbers as pictures."""
        height, channels, width, n = kept
        return np.ascontiguousarray(delta.reshape(n, channels, height, width).transpose(2, 1, 3, 0))


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, each number is 0 with probability `rate`, else divided by 1 - rate.

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout" (2014), with the division in
    training, so that predicting is left as it is.
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise Misfit(f"a rate is at least 0 and less than 1, not {self.rate:g}")

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """a * mask; keeps the mask. With key None, a itself."""
        if key is None:
            return None, a
        drawn = random_stream(*key).random(a.shape, np.float32)
        mask = (drawn >= self.rate) / np.asarray(1 - self.rate, a.dtype)
        return mask, a * mask

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta * mask; that of predicting is delta itself."""
        return delta if kept is None else delta * kept


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-a)), the article's activation."""

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H = sigmoid(H^)."""
        return a, sigmoid(a)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta * sigmoid'(H^)."""
        return delta * sigmoid_prime(kept)


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent; its derivative is 1 - tanh^2."""

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H = tanh(H^); keeps H."""
        value = np.tanh(a)
        return value, value

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta * (1 - H^2)."""
        return delta * (1 - kept * kept)


@dataclass(frozen=True)
class Relu(Layer):
    """max(a, 0); its derivative at 0 is 0 (Nair, Hinton, "Rectified Linear Units", 2010)."""

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H = max(H^, 0)."""
        return a, np.maximum(a, 0)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta where H^ was above 0."""
        return delta * (kept > 0)


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(a) / sum of exp(a) in each row: probabilities; the last layer, with cross-entropy.

    The derivative of the cross-entropy by Y^, Y - y*, is simpler than that by Y: it is computed
    with the error, and the map backward hands it on.
    """

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """Y = softmax(Y^); the largest of a row is taken off first, so that no exp overflows."""
        exponentials = np.exp(a - a.max(axis=1, keepdims=True))
        return a, exponentials / exponentials.sum(axis=1, keepdims=True)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta, which is by Y^ already."""
        return delta


def cross_entropy(Y_hat: np.ndarray, y_true: np.ndarray) -> float:
    """E = -sum of y* log softmax(Y^) = log(sum of exp(Y^)) - Y^ of the truth, over n rows."""
    shifted = Y_hat - Y_hat.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(log_sums.sum() - np.vdot(shifted, y_true))
