"""The mathematics of the article: a 784-64-2 sigmoid network, its error and its gradients.

Pure NumPy, without Spark. Functions of rows take n rows, n >= 1: the article's chain of maps passes
one image, the faster strategies pass whole blocks. All strategies share these functions. For one
row `np.dot` is faster than `@`, in `weight_gradient` several times as fast. The symbols are the
article's:

    x, X   image(s) (n, 784), pixels in [0, 1]       y*     label(s), one-hot (n, k)
    H^, H  hidden layer before and after sigmoid     Y^, Y  output layer before and after sigmoid
    E      error, 1/2 * sum over outputs of (Y - y*)^2
    dA     the derivative of E with respect to A, for A one of W1, B1, W2, B2

In the code, H^ is `H_hat` and y* is `y_true` (`y` in train.py's maps). E, Acc and the gradients of
weights are sums over the n rows: one image and a block of images give the same kind of tuple.
"""

import operator
from typing import NamedTuple

import numpy as np


class Parameters(NamedTuple):
    """W1 (784, h), B1 (1, h), W2 (h, k), B2 (1, k); their gradients have the same shapes."""

    W1: np.ndarray
    B1: np.ndarray
    W2: np.ndarray
    B2: np.ndarray


class Sums(NamedTuple):
    """The sums over a mini-batch. gradients: dW1, dB1, dW2, dB2, ..., one pair per dense layer."""

    E: float
    gradients: tuple[np.ndarray, ...]
    Acc: int
    n: int


def as_sums(summed: tuple) -> Sums:
    """The tuple after map 8, (E, dB2, dW2, dB1, dW1, Acc, 1), summed over the mini-batch.

    The maps compute the gradients backwards; here they are in the order of the parameters.
    """
    E, *backwards, Acc, n = summed
    return Sums(E, tuple(reversed(backwards)), Acc, n)


def random_stream(seed: int, *key: int) -> np.random.Generator:
    """A random generator that depends only on (seed, key), such as (seed, epoch, partition)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def sample_seed(seed: int, epoch: int) -> int:
    """The seed for `.sample`, which draws the mini-batch of an epoch."""
    return int(random_stream(seed, epoch).integers(2**31))


def initial_parameters(
    seed: int, hidden: int, outputs: int, dtype: str = "float32", inputs: int = 784
) -> Parameters:
    """W1, B1, W2, B2 drawn from U(-0.5, 0.5), as in the article."""
    rng = random_stream(seed)
    shapes = (inputs, hidden), (1, hidden), (hidden, outputs), (1, outputs)
    return Parameters(*(rng.uniform(-0.5, 0.5, shape).astype(dtype) for shape in shapes))


@np.errstate(over="ignore")  # if exp(-z) overflows to infinity, sigmoid(z) is 0
def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), element by element."""
    return 1 / (1 + np.exp(-z))


def sigmoid_prime_of(a: np.ndarray) -> np.ndarray:
    """sigmoid'(z) = a (1 - a), element by element, for a = sigmoid(z)."""
    return a * (1 - a)


def sigmoid_prime(z: np.ndarray) -> np.ndarray:
    """sigmoid'(z) = sigmoid(z) (1 - sigmoid(z)), element by element."""
    return sigmoid_prime_of(sigmoid(z))


def affine(a: np.ndarray, W: np.ndarray, B: np.ndarray) -> np.ndarray:
    """H^ = x W1 + B1 (map 1), Y^ = H W2 + B2 (map 3). a (n, i), W (i, j), B (1, j) -> (n, j)."""
    return np.dot(a, W) + B


def squared_error(Y: np.ndarray, y_true: np.ndarray) -> float:
    """E = 1/2 * sum of (Y - y*)^2, over the k outputs of all n rows."""
    difference = Y - y_true
    return 0.5 * float(np.vdot(difference, difference))


def correct(Y: np.ndarray, y_true: np.ndarray) -> int:
    """Acc: the number of the n rows where argmax(Y) = argmax(y*)."""
    return int(np.count_nonzero(Y.argmax(axis=1) == y_true.argmax(axis=1)))


def output_error(Y: np.ndarray, y_true: np.ndarray) -> tuple[float, np.ndarray, int]:
    """E, dB2, Acc (map 5). dB2 = (Y - y*) * sigmoid'(Y^) has a row for each image (n, k)."""
    dB2 = (Y - y_true) * sigmoid_prime_of(Y)
    return squared_error(Y, y_true), dB2, correct(Y, y_true)


def input_delta(dB: np.ndarray, W: np.ndarray) -> np.ndarray:
    """dB W^T, the derivative of E with respect to a dense layer's input (n, i). W (i, j)."""
    return np.dot(dB, W.T)


def hidden_delta(dB2: np.ndarray, W2: np.ndarray, H_hat: np.ndarray) -> np.ndarray:
    """(dB2 W2^T) * sigmoid'(H^), a row for each image (n, h): dB1 of that image (map 7)."""
    return input_delta(dB2, W2) * sigmoid_prime(H_hat)


def weight_gradient(a: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """a^T delta, summed over the rows: dW2 = H^T dB2 (map 6), dW1 = x^T dB1 (map 8).

    a (n, i), delta (n, j) -> (i, j).
    """
    return np.dot(a.T, delta)


def bias_gradient(delta: np.ndarray) -> np.ndarray:
    """dB, summed over the rows; for one image, the row itself. delta (n, j) -> (1, j)."""
    if len(delta) == 1:
        return delta
    return delta.sum(axis=0, keepdims=True)


def add(total: tuple, more: tuple) -> tuple:
    """The reduce: adds `more` to `total`, element by element, in the arrays of `total`.

    New arrays would allocate 0.2 MB for each image, every 0.1 ms.
    """
    return tuple(map(operator.iadd, total, more))


def mean_gradients(sums: Sums) -> tuple[np.ndarray, ...]:
    """(sum of gradients) / n."""
    return tuple(gradient / sums.n for gradient in sums.gradients)


def count_outcomes(Y: np.ndarray, y_true: np.ndarray) -> np.ndarray:
    """TP, FP, FN, TN of each class (k, 4) over n rows; a class is predicted if it rounds to 1."""
    predicted, actual = np.rint(Y) == 1, y_true == 1
    pairs = (actual & predicted, ~actual & predicted, actual & ~predicted, ~actual & ~predicted)
    return np.stack([np.count_nonzero(pair, axis=0) for pair in pairs], axis=1)


def precision_recall_f1(tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    """TP/(TP+FP), TP/(TP+FN) and their harmonic mean; 0.0 where the divisor is 0."""

    def ratio(part: int, whole: int) -> float:
        return float(part / whole) if whole else 0.0

    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)
