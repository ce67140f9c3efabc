"""The layers of a network: immutable values with pure functions of n images at once.

Rows of numbers are (n, size), pictures are (height, channels, width, n). In this order, neighbour
rows of a picture, with all channels and images, are contiguous in memory; a convolution needs this.
Each layer is one forward map and one backward map:

    forward(a, parameters, key) -> (kept, value)    `kept` is what the backward map needs
    gradients(kept, delta) -> (dW, dB)              backward map of a layer with parameters
    input_delta(kept, delta, parameters) -> delta   backward map of any other layer; for a layer
                                                    with parameters, the next backward map calls it

`delta` is the derivative of the error E with respect to a layer's value. The symbols are the
article's: a dense layer computes H^ = x W + B, its activation H. `key` names the random numbers of
these images in this epoch (see nn_math.random_stream). In prediction it is None: then a layer draws
no numbers.

To add a layer, write one class here. Its name in lower case is its word in `--network`; its fields
are the numbers after the word. The page needs its formulas in mathematics.js, and the export its
operator in results/export.py.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import nn_math

# The shape of one image's value: (size,) or (channels, height, width), however it lies in memory.
Shape = tuple[int, ...]
ROWS, PICTURES = 1, 3  # the lengths of these shapes
Arrays = tuple[np.ndarray, ...]  # the parameters of a layer: (W, B), or none
State = dict[str, Arrays]  # an optimizer's arrays, in the shapes of the parameters
Key = tuple[int, ...]
SIDE = 28
MOST = 65536  # units, filters, or a side
LAYERS: dict[str, type["Layer"]] = {}  # the layers that a text can name, by their words


class NetworkError(ValueError):
    """There is no such network; the message marks the layer that is wrong and says what fits."""


@dataclass(frozen=True)
class Layer(ABC):
    """What a layer says about itself. By default it has no parameters and keeps the shape."""

    word: ClassVar[str]
    takes: ClassVar[int | None] = None  # ROWS or PICTURES; None: both
    learns: ClassVar[bool] = False  # it has parameters W and B
    is_relu: ClassVar[bool] = False  # it is 0, or nearly, for half of its inputs
    is_random: ClassVar[bool] = False  # it draws random numbers in training

    # Its maps as formulas, for `train.py --explain` and the page. {a} is the symbol of the input,
    # {value} that of the value, {delta} the derivative of E with respect to it, {l} the number of W
    # and B.
    forward_formula: ClassVar[str] = "{word}({a})"
    gradients_formula: ClassVar[str] = ""
    input_delta_formula: ClassVar[str] = "{delta} back through {word}"
    delta_symbol: ClassVar[str] = "d{value}"

    def __init_subclass__(cls, in_text: bool = True) -> None:
        """Derive the word, and add the class to LAYERS if a text can name it."""
        cls.word = cls.__name__.lower()
        if in_text:
            LAYERS[cls.word] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, number = field.name.upper(), getattr(self, field.name)
            if field.type is float or number is None:
                continue
            if not 1 <= number <= MOST:
                raise NetworkError(f"{name} must be at least 1 and at most {MOST}, not {number}")

    @classmethod
    def form(cls) -> str:
        """How to write the layer in a text: "conv FILTERS SIDE"."""
        return " ".join([cls.word, *(field.name.upper() for field in dataclasses.fields(cls))])

    def text(self) -> str:
        """The layer as a text has it: "conv 6 5"."""
        numbers = [value for value in dataclasses.astuple(self) if value is not None]
        return " ".join([self.word, *map(str, numbers)])

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's value after this layer. Raises NetworkError."""
        return shape

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The shapes of W and B, or none; `shape` is that of one image's input."""
        return ()

    def initial(self, rng: np.random.Generator, shape: Shape, relu: bool, dtype: str) -> Arrays:
        """W and B of a layer that learns; `relu`: the activation after it is one.

        W is uniform, of variance 2 / inputs before a relu, else 2 / (inputs + outputs); B is 0.
        He, Zhang, Ren, Sun, "Delving Deep into Rectifiers" (2015); Glorot, Bengio, "Understanding
        the difficulty of training deep feedforward neural networks" (2010).
        """
        W_shape, B_shape = self.parameter_shapes(shape)
        inputs = math.prod(W_shape) // B_shape[1]  # weights into each unit or filter
        outputs = math.prod(W_shape) // shape[0]  # weights out of each input or channel
        variance = 2 / inputs if relu else 2 / (inputs + outputs)
        limit = (3 * variance) ** 0.5
        return rng.uniform(-limit, limit, W_shape).astype(dtype), np.zeros(B_shape, dtype)

    @abstractmethod
    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """What the backward map needs, and the value."""

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW and dB, summed over the images."""
        return ()

    @abstractmethod
    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """The derivative of E with respect to the input."""


def _check_side(side: int, shape: Shape) -> None:
    if min(shape[1:]) < side:
        size = "x".join(map(str, shape[1:]))
        raise NetworkError(f"its input is {size}: the side must be at most {min(shape[1:])}")


@dataclass(frozen=True)
class Dense(Layer):
    """a W + B: `units` weighted sums of all inputs; None means one for each class.

    W (inputs, units), B (1, units); a (n, inputs) -> (n, units).
    """

    units: int | None = None
    takes = ROWS
    learns = True
    forward_formula = "{a} W{l} + B{l}"
    gradients_formula = "dW{l} = {a}^T dB{l}"
    input_delta_formula = "({delta} W{l}^T)"
    delta_symbol = "dB{l}"  # of one image dB is delta

    def output_shape(self, shape: Shape) -> Shape:
        """(units,)."""
        assert self.units is not None, "the network is complete"
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """(inputs, units) and (1, units)."""
        return shape + self.output_shape(shape), (1, *self.output_shape(shape))

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H^ = a W + B."""
        return a, nn_math.affine(a, *parameters)

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW = a^T delta, dB = delta."""
        return nn_math.weight_gradient(kept, delta), nn_math.bias_gradient(delta)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta W^T."""
        return nn_math.input_delta(delta, parameters[0])


@dataclass(frozen=True)
class Conv(Layer):
    """`filters` windows of side x side, moved over a picture by one pixel, without padding.

    W (filters, channels, side, side), B (1, filters); a (h, channels, w, n) ->
    (h - side + 1, filters, w - side + 1, n). The value at (y, x) is the sum over channel, i, j of
    W[:, channel, i, j] * a[y + i, channel, x + j], plus B: a cross-correlation, as in PyTorch.

    The pixels under each window, copied into a column, make this a matrix product (Chellapilla,
    Puri, Simard, "High Performance Convolutional Neural Networks", 2006). Here only the `side`
    shifts along a row are copied; the rows y to y + side of these columns are already one matrix.
    """

    filters: int
    side: int
    takes = PICTURES
    learns = True
    forward_formula = "{a} * W{l} + B{l}"
    gradients_formula = "dB{l}, dW{l} from {delta} and {a}"
    input_delta_formula = "({delta} through W{l})"

    def output_shape(self, shape: Shape) -> Shape:
        """(filters, height, width). Raises NetworkError."""
        _check_side(self.side, shape)
        return self.filters, shape[1] - self.side + 1, shape[2] - self.side + 1

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """(filters, channels, side, side) and (1, filters)."""
        return (self.filters, shape[0], self.side, self.side), (1, self.filters)

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """W windows + B; keeps the columns (height, channels, side, width, n)."""
        W, B = parameters
        height, channels, width, n = a.shape
        height, width = height - self.side + 1, width - self.side + 1
        columns = np.empty((len(a), channels, self.side, width, n), a.dtype)
        for j in range(self.side):
            columns[:, :, j] = a[:, :, j : j + width]
        value = np.empty((height, self.filters, width, n), a.dtype)
        W_rows = W.swapaxes(1, 2).reshape(self.filters, -1)  # in the order of a window's rows
        for y in range(height):
            row = value[y].reshape(self.filters, -1)
            np.matmul(W_rows, self._window(columns, y), out=row)
            row += B.T
        return columns, value

    def gradients(self, kept: Any, delta: np.ndarray) -> Arrays:
        """dW = delta windows^T, dB = delta, both summed over all windows."""
        # BLAS computes windows delta^T in three quarters of the time of delta windows^T.
        dW = sum(
            self._window(kept, y) @ row.reshape(self.filters, -1).T for y, row in enumerate(delta)
        )
        dW = dW.reshape(self.side, kept.shape[1], self.side, self.filters)
        dB = delta.reshape(len(delta), self.filters, -1).sum(axis=2).sum(axis=0, keepdims=True)
        return dW.transpose(3, 1, 0, 2).copy(), dB

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """W^T delta is the derivative for the columns; it is added at the pixels they came from.

        Row y of the columns belongs to rows y - side + 1 to y of the value, the first of them with
        the last row of W. These rows of delta are already one matrix: one product gives row y.
        """
        (W, _), side = parameters, self.side
        height, _, width, n = delta.shape
        channels, height_before = W.shape[1], height + side - 1
        # (channels * side, side * filters), in the order of the rows of a row of columns.
        W_columns = W[:, :, ::-1].transpose(1, 3, 2, 0).reshape(channels * side, -1)
        columns = np.empty((height_before, channels, side, width, n), delta.dtype)
        for y, row in enumerate(columns):
            first = y - side + 1
            rows = delta[max(0, first) : y + 1].reshape(-1, width * n)
            skipped = max(0, -first) * self.filters
            W_rows = W_columns[:, skipped : skipped + len(rows)]
            np.matmul(W_rows, rows, out=row.reshape(channels * side, -1))
        before = np.zeros((height_before, channels, width + side - 1, n), delta.dtype)
        for j in range(side):
            before[:, :, j : j + width] += columns[:, :, j]
        return before

    def _window(self, columns: np.ndarray, y: int) -> np.ndarray:
        """Rows y to y + side of the columns, not copied: (side * channels * side, width * n)."""
        _, _, _, width, n = columns.shape
        return columns[y : y + self.side].reshape(-1, width * n)


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest of each side x side window; rows and columns that fill no window are left out.

    a (h, channels, w, n) -> (h // side, channels, w // side, n).
    """

    side: int
    takes = PICTURES

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, height, width). Raises NetworkError."""
        _check_side(self.side, shape)
        return shape[0], shape[1] // self.side, shape[2] // self.side

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """The maxima; keeps a's shape, and for each maximum its (first) place in the window."""
        places = self._places(a.shape)
        value = a[places[0]].copy()
        number_type = np.min_scalar_type(len(places)).type  # the fewest bytes are the fastest
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
        """For each place in a window, the slices that select it in all windows."""
        side, channels = self.side, slice(None)
        height, width = shape[0] // side * side, shape[2] // side * side
        offsets = np.ndindex(side, side)
        return [(slice(i, height, side), channels, slice(j, width, side)) for i, j in offsets]


class Picture(Layer, in_text=False):
    """Rows of 784 pixels as pictures of one channel: a (n, 784) -> (28, 1, 28, n)."""

    takes = ROWS

    def output_shape(self, shape: Shape) -> Shape:
        """(1, 28, 28)."""
        return 1, SIDE, SIDE

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """The same pixels, images last."""
        return None, np.ascontiguousarray(a.T).reshape(SIDE, 1, SIDE, len(a))

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """The same numbers as rows."""
        return delta.reshape(SIDE * SIDE, -1).T


class Flatten(Layer):
    """Pictures as rows, channel by channel: a (h, channels, w, n) -> (n, channels h w)."""

    takes = PICTURES

    def output_shape(self, shape: Shape) -> Shape:
        """(channels * height * width,)."""
        return (math.prod(shape),)

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
    training, so that prediction needs none.
    """

    rate: float
    is_random = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise NetworkError(f"RATE must be at least 0 and less than 1, not {self.rate:g}")

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """a * mask; keeps the mask. With key None, a itself."""
        if key is None:
            return None, a
        drawn = nn_math.random_stream(*key).random(a.shape, np.float32)
        mask = (drawn >= self.rate) / np.asarray(1 - self.rate, a.dtype)
        return mask, a * mask

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta * mask; delta itself in prediction."""
        return delta if kept is None else delta * kept


class Activation(Layer, in_text=False):
    """H = f(H^) for each number, and the slope f'(H^), computed from H. Softmax differs."""

    input_delta_formula = "{delta} * {word}'({a})"
    f: ClassVar[Any]
    slope_from: ClassVar[Any]

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """H = f(H^); keeps H."""
        value = self.f(a)
        return value, value

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta * f'(H^), from H."""
        return delta * self.slope_from(kept)


class Sigmoid(Activation):
    """1 / (1 + exp(-a)), the article's activation."""

    f = staticmethod(nn_math.sigmoid)
    slope_from = staticmethod(nn_math.sigmoid_prime_of)


class Tanh(Activation):
    """The hyperbolic tangent; its derivative is 1 - tanh^2."""

    f = staticmethod(np.tanh)
    slope_from = staticmethod(lambda H: 1 - H * H)


class Relu(Activation):
    """max(a, 0); its derivative at 0 is 0 (Nair, Hinton, "Rectified Linear Units", 2010)."""

    is_relu = True
    f = staticmethod(lambda a: np.maximum(a, 0))
    slope_from = staticmethod(lambda H: H > 0)


class Softmax(Activation):
    """exp(a) / sum of exp(a) in each row: probabilities. Only for the last layer.

    The error is then the cross-entropy. Its derivative for Y^ is simple, Y - y*: it is computed
    with the error, and this layer's backward map passes it on.
    """

    takes = ROWS
    input_delta_formula = "{delta}"

    def forward(self, a: np.ndarray, parameters: Arrays, key: Key | None) -> tuple[Any, np.ndarray]:
        """Y = softmax(Y^); the largest of a row is subtracted first, so that no exp overflows."""
        exponentials = np.exp(a - a.max(axis=1, keepdims=True))
        return a, exponentials / exponentials.sum(axis=1, keepdims=True)

    def input_delta(self, kept: Any, delta: np.ndarray, parameters: Arrays) -> np.ndarray:
        """delta, which is already the derivative for Y^."""
        return delta


def cross_entropy(Y_hat: np.ndarray, y_true: np.ndarray) -> float:
    """E = -sum of y* log softmax(Y^) = log(sum of exp(Y^)) - Y^ of the true class, over n rows."""
    shifted = Y_hat - Y_hat.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(log_sums.sum() - np.vdot(shifted, y_true))
