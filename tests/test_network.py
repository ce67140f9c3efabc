"""Layers and the networks made of them, against differences, loops and formulas written out."""

import contextlib
import dataclasses
import itertools
import math
import re
import time
import tracemalloc
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_math
import train
from network import explain
from network.layers import (
    LAYERS,
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    NetworkError,
    Picture,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
    cross_entropy,
)
from network.sequential import (
    IMAGES_AT_ONCE,
    Sequential,
    backward_places,
    batch_tuple,
    by_layer,
    complete,
    error_tuple,
    forward,
    initial_parameters,
    outputs_of,
    parameter_names,
    parameter_shapes,
    read,
    text_of,
)
from pictures import page
from results.model_files import Trained
from runtime.command_line import UserError
from training import chain, recipes, run
from training.optimizers import OPTIMIZERS
from training.recipes import STRATEGIES
from training.settings import complete as complete_settings
from training.settings import from_command_line
from training.verdict import doubts

ROOT = Path(train.__file__).parent
FLOATS = ("float32", "float64")
KEY = (1, 2)
CONV = "conv 3 5, maxpool 2, relu, conv 4 3, tanh, maxpool 3, dropout 0.3, dense 6, tanh, dense"
NETWORKS = [
    "dense 5, sigmoid, dense, sigmoid",
    "dense 6, dense 4, tanh, dense, sigmoid",
    "dropout 0.2, dense 5, relu, dropout 0.4, dense, softmax",
    f"{CONV}, softmax",
    f"{CONV}, sigmoid",
    "conv 3 5, maxpool 5, relu, dense",
    "maxpool 4, relu, flatten, dense 5, tanh, dense, softmax",
    "relu, conv 3 28, softmax",
]


def by_differences(error, values: np.ndarray, places=None, step: float = 1e-6) -> np.ndarray:
    """The derivative of error(values) at some places, else at all, by central differences."""
    found = []
    for place in np.ndindex(values.shape) if places is None else places:
        errors = []
        for change in (step, -step):
            moved = values.copy()
            moved[place] += change
            errors.append(error(moved))
        found.append((errors[0] - errors[1]) / (2 * step))
    return np.array(found)


def some_batch(n: int, k: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.random((n, 784)).astype(dtype), np.eye(k, dtype=dtype)[rng.integers(k, size=n)]


def some_parameters(network, dtype: str = "float64"):
    """Initial parameters with biases other than 0."""
    rng = np.random.default_rng(3)
    initial = initial_parameters(network, 3, "float64")
    return tuple((a + 0.05 * rng.normal(size=a.shape)).astype(dtype) for a in initial)


def in_memory(of_one_image: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The shape of n rows, or of n pictures of (channels, height, width)."""
    if len(of_one_image) == 1:
        return n, *of_one_image
    channels, height, width = of_one_image
    return height, channels, width, n


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(4), (3, 6)),
        (Dense(1), (1, 1)),
        (Conv(3, 2), (2, 5, 4, 3)),
        (Conv(2, 4), (1, 4, 4, 1)),
        (Conv(1, 1), (3, 2, 2, 2)),
        (MaxPool(2), (2, 5, 4, 3)),
        (MaxPool(3), (1, 7, 9, 2)),
        (MaxPool(1), (1, 3, 2, 2)),
        (Picture(), (2, 784)),
        (Flatten(), (2, 3, 4, 5)),
        (Dropout(0.4), (5, 8)),
        (Dropout(0.4), (2, 3, 3, 4)),
        (Dropout(0.0), (2, 3)),
        (Sigmoid(), (3, 5)),
        (Tanh(), (3, 5)),
        (Relu(), (2, 3, 3, 2)),
    ],
    ids=lambda value: repr(value) if not isinstance(value, tuple) else "x".join(map(str, value)),
)
def test_the_maps_backward_of_a_layer_are_its_central_differences(layer, shape):
    check_layer(layer, shape)


def check_layer(layer, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    of_one_image = shape[1:] if len(shape) == 2 else shape[:-1]
    own = tuple(rng.normal(size=size) for size in layer.parameter_shapes(of_one_image))
    n = shape[0] if len(shape) == 2 else shape[-1]
    a = rng.normal(size=in_memory(of_one_image, n))
    kept, value = layer.forward(a, own, KEY)
    assert value.shape == in_memory(layer.output_shape(of_one_image), n)
    weights = rng.normal(size=value.shape)

    def error(a, own=own) -> float:
        return float(np.vdot(weights, layer.forward(a, own, KEY)[1]))

    delta = layer.input_delta(kept, weights, own)
    assert delta.shape == a.shape
    np.testing.assert_allclose(delta.ravel(), by_differences(error, a), rtol=1e-6, atol=1e-8)
    gradients = layer.gradients(kept, weights)
    assert len(gradients) == len(own) == 2 * layer.learns
    for number, gradient in enumerate(gradients):

        def error_by_own(values, number=number) -> float:
            return error(a, (*own[:number], values, *own[number + 1 :]))

        assert gradient.shape == own[number].shape
        expected = by_differences(error_by_own, own[number])
        np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("text", NETWORKS)
def test_the_gradients_of_a_network_are_its_central_differences(text):
    check_gradients(read(text, 3))


def check_gradients(network) -> None:
    parameters, (X, y_true) = some_parameters(network), some_batch(5, 3)
    E, *backwards, _, n = batch_tuple(network, parameters, X, y_true, KEY)
    assert n == 5 and E > 0
    rng = np.random.default_rng(5)
    for number, (values, gradient) in enumerate(zip(parameters, backwards[::-1], strict=True)):
        assert gradient.shape == values.shape

        def error(values, number=number) -> float:
            changed = (*parameters[:number], values, *parameters[number + 1 :])
            return batch_tuple(network, changed, X, y_true, KEY)[0]

        largest = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        drawn = [tuple(rng.integers(side) for side in values.shape) for _ in range(8)]
        places = [largest, *drawn]
        assert abs(gradient[largest]) > 1e-4, "a gradient of zero would be compared with noise"
        found = [gradient[place] for place in places]
        np.testing.assert_allclose(
            found, by_differences(error, values, places), rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("text", NETWORKS)
def test_images_one_by_one_add_up_to_those_at_once_also_beyond_a_chunk(text):
    network = read(re.sub(r"dropout [\d.]+", "dropout 0", text), 3)
    parameters, (X, y_true) = some_parameters(network), some_batch(70, 3)
    total = None
    for i in range(70):
        one = batch_tuple(network, parameters, X[i : i + 1], y_true[i : i + 1], KEY)
        total = one if total is None else nn_math.add(total, one)
    at_once = batch_tuple(network, parameters, X, y_true, KEY)
    assert total[-2:] == at_once[-2:]
    for one, other in zip(total[:-2], at_once[:-2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    E, Acc, n = error_tuple(network, parameters, X, y_true)
    assert (Acc, n) == at_once[-2:] and E == pytest.approx(at_once[0], rel=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("text", [*NETWORKS, *recipes.NETWORKS.values()])
def test_every_network_keeps_shapes_and_precision(text, dtype):
    network = read(text, 3)
    parameters, (X, y_true) = initial_parameters(network, 1, dtype), some_batch(4, 3, dtype)
    E, *backwards, Acc, n = batch_tuple(network, parameters, X, y_true, KEY)
    for values, gradient in zip(parameters, backwards[::-1], strict=True):
        assert values.dtype == gradient.dtype == dtype
        assert values.shape == gradient.shape
    assert [values.shape for values in parameters] == list(parameter_shapes(network))
    kept, Y = forward(network, parameters, X, KEY)
    assert Y.dtype == outputs_of(network, parameters, X).dtype == dtype
    assert Y.shape == (4, 3) and type(E) is float and n == 4 and 0 <= Acc <= 4


@pytest.mark.parametrize(
    ("filters", "side", "shape"), [(3, 2, (5, 2, 4, 3)), (1, 3, (3, 4, 6, 1)), (2, 1, (2, 1, 2, 5))]
)
def test_a_convolution_is_the_sum_over_each_window(filters, side, shape):
    rng = np.random.default_rng(side)
    height, channels, width, n = shape
    a = rng.normal(size=shape)
    W, B = rng.normal(size=(filters, channels, side, side)), rng.normal(size=(1, filters))
    _, value = Conv(filters, side).forward(a, (W, B), None)
    assert value.shape == (height - side + 1, filters, width - side + 1, n)
    for y, f, x, image in np.ndindex(value.shape):
        window = itertools.product(range(channels), range(side), range(side))
        total = math.fsum(W[f, c, i, j] * a[y + i, c, x + j, image] for c, i, j in window)
        assert value[y, f, x, image] == pytest.approx(total + B[0, f], rel=1e-11, abs=1e-12)


def test_a_picture_stands_upright_and_flatten_is_its_inverse():
    X = np.arange(2 * 784.0).reshape(2, 784)
    _, picture = Picture().forward(X, (), None)
    for image, y, x in ((0, 0, 0), (0, 0, 27), (1, 27, 0), (1, 13, 5)):
        assert picture[y, 0, x, image] == X[image, 28 * y + x]
    kept, rows = Flatten().forward(picture, (), None)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(Flatten().input_delta(kept, rows, ()), picture)


@pytest.mark.parametrize(
    ("side", "shape"), [(2, (6, 2, 6, 3)), (3, (8, 1, 7, 2)), (20, (28, 1, 28, 2))]
)
def test_maxpool_takes_the_largest_of_each_window_and_gives_it_the_gradient(side, shape):
    rng = np.random.default_rng(side)
    a = rng.permutation(np.arange(float(np.prod(shape)))).reshape(shape)
    if side == 20:
        a[19, 0, 19, 0] = 1e9  # place 399 of its window
    kept, value = MaxPool(side).forward(a, (), None)
    expected = np.zeros(shape)
    delta = rng.normal(size=value.shape)
    for y, c, x, n in np.ndindex(value.shape):
        window = a[side * y : side * (y + 1), c, side * x : side * (x + 1), n]
        assert value[y, c, x, n] == window.max()
        i, j = np.unravel_index(window.argmax(), window.shape)
        expected[side * y + i, c, side * x + j, n] = delta[y, c, x, n]
    assert value.shape == (shape[0] // side, shape[1], shape[2] // side, shape[3])
    np.testing.assert_array_equal(MaxPool(side).input_delta(kept, delta, ()), expected)


@pytest.mark.parametrize("level", [0.0, 0.7, -1.0])
def test_of_equal_ones_in_a_window_the_first_alone_gets_the_gradient(level):
    a = np.full((4, 2, 6, 3), level)
    kept, value = MaxPool(2).forward(a, (), None)
    delta = np.random.default_rng(1).normal(size=value.shape)
    before = MaxPool(2).input_delta(kept, delta, ())
    np.testing.assert_array_equal(before[::2, :, ::2], delta)
    assert np.count_nonzero(before) == delta.size


def test_nothing_goes_back_through_a_relu_at_0():
    kept, value = Relu().forward(np.array([[-1.0, 0.0, 2.0]]), (), None)
    assert value.tolist() == [[0, 0, 2]]
    assert Relu().input_delta(kept, np.array([[3.0, 4.0, 5.0]]), ()).tolist() == [[0, 0, 5]]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_has_one_mask_for_both_ways(rate, dtype):
    layer, ones = Dropout(rate), np.ones((400, 500), dtype)
    kept, value = layer.forward(ones, (), KEY)
    back = layer.input_delta(kept, ones, ())
    assert back.tobytes() == value.tobytes() and value.dtype == dtype
    assert len(np.unique(value)) == 2 and value.min() == 0
    assert value.max() == pytest.approx(1 / (1 - rate), rel=1e-6)
    sigma = math.sqrt(rate / (1 - rate) / value.size)
    assert abs(value.mean(dtype="float64") - 1) < 5 * sigma


def test_dropout_draws_by_its_key_and_place_and_leaves_predicting_alone():
    network, without = read("dropout 0.5, dense", 3), read("dense", 3)
    twice = read("dropout 0.5, dropout 0.5, dense", 3)
    parameters, (X, y_true) = some_parameters(network), some_batch(6, 3)

    def outputs(key, network=network) -> bytes:
        return forward(network, parameters, X, key)[1].tobytes()

    assert outputs(KEY) == outputs(KEY)
    assert len({outputs(key) for key in (KEY, (1, 3), (2, 2), (1, 2, 0), None)}) == 5
    kept, _ = forward(twice, parameters, X, KEY)
    assert (kept[0] != kept[1]).any(), "both layers draw the same mask"
    assert outputs(None) == outputs(None, without)
    assert outputs_of(network, parameters, X).tobytes() == outputs(None)
    assert error_tuple(network, parameters, X, y_true) == error_tuple(
        without, parameters, X, y_true
    )


def test_dropout_draws_anew_for_each_part_of_a_block_that_a_convolution_takes_at_once():
    network = read("conv 2 5, relu, dropout 0.5, dense, softmax", 3)
    parameters, (X, y_true) = some_parameters(network), some_batch(IMAGES_AT_ONCE, 3)

    def error(X, y_true) -> float:
        return batch_tuple(network, parameters, X, y_true, KEY)[0]

    twice = error(np.concatenate([X, X]), np.concatenate([y_true, y_true]))
    assert abs(twice - 2 * error(X, y_true)) > 1e-3


@contextlib.contextmanager
def no_warning():
    """Every warning of NumPy is an error, save underflow, which rounds to zero as it should."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("dtype", FLOATS)
@no_warning()
def test_softmax_and_its_cross_entropy_bear_huge_outputs(dtype):
    Y_hat = np.array([[1e4, -1e4, 0], [-1e30, 1e30, 1e30], [700, 701, 702]], dtype)
    y_true = np.eye(3, dtype=dtype)
    _, Y = Softmax().forward(Y_hat, (), None)
    last = [1 / (1 + math.e + math.e**2), math.e / (1 + math.e + math.e**2)]
    expected = [[1, 0, 0], [0, 0.5, 0.5], [*last, 1 - sum(last)]]
    np.testing.assert_allclose(Y, expected, rtol=1e-6, atol=1e-30)
    errors = [cross_entropy(Y_hat[i : i + 1], y_true[i : i + 1]) for i in range(3)]
    by_hand = [0, math.log(2), math.log(1 + math.e**-1 + math.e**-2)]
    assert errors == pytest.approx(by_hand, rel=1e-6)
    assert cross_entropy(Y_hat[:1], y_true[1:2]) == pytest.approx(2e4)
    assert cross_entropy(Y_hat, y_true) == pytest.approx(sum(by_hand), rel=1e-6)


def test_the_error_of_outputs_that_are_no_softmax_is_half_the_sum_of_squares():
    X, y_true = some_batch(5, 3)
    for text in ("dense", "dense, tanh", "dense, sigmoid"):
        network = read(text, 3)
        parameters = some_parameters(network)
        Y = outputs_of(network, parameters, X)
        E, Acc, n = error_tuple(network, parameters, X, y_true)
        assert E == pytest.approx(
            sum(0.5 * (a - b) ** 2 for a, b in zip(Y.flat, y_true.flat, strict=True))
        )
        assert (Acc, n) == (sum(Y.argmax(1) == y_true.argmax(1)), 5)


HE_784, GLOROT_784 = 2 / 784, 2 / (784 + 300)


@pytest.mark.parametrize(
    ("text", "variances"),
    [
        ("dense 300, relu, dense 400, relu, dense, softmax", [HE_784, 2 / 300, 2 / 410]),
        ("dense 300, dropout 0.5, relu, dense", [HE_784, 2 / 310]),
        ("dense 300, tanh, dense", [GLOROT_784, 2 / 310]),
        ("dense 300, sigmoid, dense 200, sigmoid, dense", [GLOROT_784, 2 / 500, 2 / 210]),
        ("dense 300, dense 200, relu, dense", [GLOROT_784, 2 / 300, 2 / 210]),
        ("conv 64 7, maxpool 2, relu, conv 64 5, tanh, dense", [2 / 49, 2 / 25 / 128, 2 / 3146]),
    ],
)
def test_weights_start_with_the_variance_of_he_before_relu_else_of_glorot(text, variances):
    parameters = initial_parameters(read(text, 10), 1, "float64")
    for W, B, variance in zip(parameters[::2], parameters[1::2], variances, strict=True):
        # Uniform numbers: their variance is known to sqrt(0.8 / n) of itself.
        assert W.var() == pytest.approx(variance, rel=5 * math.sqrt(0.8 / W.size))
        assert abs(W.mean()) < 5 * math.sqrt(variance / W.size)
        assert np.abs(W).max() <= math.sqrt(3 * variance)
        assert (B == 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("hidden", [64, 5])
def test_the_articles_network_starts_with_the_articles_bits(hidden, dtype):
    found = initial_parameters(read(f"dense {hidden}, sigmoid, dense, sigmoid", 2), 7, dtype)
    rng = np.random.default_rng(7)
    for array, shape in zip(found, [(784, hidden), (1, hidden), (hidden, 2), (1, 2)], strict=True):
        assert array.tobytes() == rng.uniform(-0.5, 0.5, shape).astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("last", "outputs", "bias"),
    [
        ("sigmoid", 10, -math.log(9)),
        ("sigmoid", 3, -math.log(2)),
        ("sigmoid", 2, 0),
        ("tanh", 10, 0),
        ("softmax", 10, 0),
    ],
)
@pytest.mark.parametrize("before", ["dense 8, sigmoid, dense 7, relu", "conv 2 9, relu"])
def test_sigmoids_that_tell_one_class_from_many_start_at_its_share(before, last, outputs, bias):
    *others, B = initial_parameters(read(f"{before}, dense, {last}", outputs), 1, "float64")
    np.testing.assert_allclose(B, np.full((1, outputs), bias), rtol=1e-15)
    assert not any(earlier.any() for earlier in others[1::2])
    if bias:
        np.testing.assert_allclose(nn_math.sigmoid(B), 1 / outputs)


@pytest.mark.parametrize("before", ["dense 64, sigmoid", "conv 2 9, sigmoid, dropout 0.2"])
def test_sigmoids_after_sigmoids_start_at_the_share_of_a_class_too(before):
    *others, W, B = initial_parameters(read(f"{before}, dense, sigmoid", 10), 1, "float64")
    H = np.full((1, len(W)), 0.5)
    np.testing.assert_allclose(nn_math.sigmoid(H @ W + B), np.full((1, 10), 0.1))
    assert not any(earlier.any() for earlier in others[1::2])


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_seed_gives_the_same_initial_bits_and_another_gives_others(dtype):
    network = read(recipes.NETWORKS["lenet"], 10)

    def weights(seed: int) -> list[bytes]:
        return [array.tobytes() for array in initial_parameters(network, seed, dtype)[::2]]

    assert weights(4) == weights(4)
    assert all(one != other for one, other in zip(weights(4), weights(5), strict=True))


@pytest.mark.parametrize("outputs", [2, 10])
@pytest.mark.parametrize("text", [*NETWORKS, *recipes.NETWORKS.values()])
def test_a_network_is_its_text(text, outputs):
    network = read(text.replace("conv 3 28", f"conv {outputs} 28"), outputs)
    assert read(text_of(network), outputs) == network
    assert text_of(read(text_of(network), outputs)) == text_of(network)


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 65536))
def test_a_network_is_its_text_to_the_last_bit_of_a_rate(rate, units):
    network = Sequential(Dropout(rate), Dense(units), Relu(), Dense(), Softmax())
    assert read(text_of(network), 4) == complete(network, 4)


def test_case_and_blanks_do_not_matter_and_layers_of_python_are_those_of_a_text():
    by_hand = Sequential(Conv(4, 5), MaxPool(2), Relu(), Dropout(0.25), Dense(9), Tanh(), Dense())
    read_out = read(" Conv 4  5,maxpool 2 ,RELU, dropout .25, dense 9, tanh,dense ", 3)
    assert read_out == complete(by_hand, 3)
    kinds = Picture, Conv, MaxPool, Relu, Dropout, Flatten, Dense, Tanh, Dense
    assert tuple(type(layer) for layer in read_out) == kinds


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("flatten, dense 5, relu, dense", "dense 5, relu, dense"),
        ("conv 3 5, flatten, flatten, dense", "conv 3 5, dense"),
        ("dense 5, flatten, relu, dense, flatten, softmax", "dense 5, relu, dense, softmax"),
    ],
)
def test_to_flatten_rows_changes_nothing(text, same):
    """As one begins in Keras, where an image comes as a picture."""
    assert read(text, 3) == read(same, 3)
    X, _ = some_batch(4, 3)
    network = read(text, 3)
    assert outputs_of(network, initial_parameters(network, 1, "float64"), X).shape == (4, 3)


TOO_MANY = "dense 65536, relu, dense 65536, relu, dense, softmax"
BAD = [
    ("dense 256, rellu, dense, softmax", "rellu", "no such layer; did you mean relu?"),
    ("dense 256, lstm 9, dense", "lstm 9", "no such layer; write one of: dense UNITS,"),
    ("picture, dense", "picture", "no such layer; write one of: dense UNITS,"),
    ("activation, dense", "activation", "no such layer; write one of: dense UNITS,"),
    ("", "", "no such layer"),
    ("dense 256,, dense", "", "no such layer"),
    ("dense 256, relu, dense,", "", "no such layer"),
    ("conv 3, dense", "conv 3", "write `conv FILTERS SIDE`"),
    ("conv, dense", "conv", "write `conv FILTERS SIDE`"),
    ("conv 3 3 3, dense", "conv 3 3 3", "write `conv FILTERS SIDE`"),
    ("maxpool, dense", "maxpool", "write `maxpool SIDE`"),
    ("dense 5, dropout, dense", "dropout", "write `dropout RATE`"),
    ("dense 5, relu 3, dense", "relu 3", "write `relu`"),
    ("dense x, dense", "dense x", "UNITS must be a whole number"),
    ("dense 2.5, dense", "dense 2.5", "UNITS must be a whole number"),
    ("conv 3 x, dense", "conv 3 x", "SIDE must be a whole number"),
    ("dropout high, dense", "dropout high", "RATE must be a number"),
    ("dense 0, dense", "dense 0", "UNITS must be at least 1"),
    ("dense -5, dense", "dense -5", "UNITS must be at least 1"),
    ("dense 65537, dense", "dense 65537", "at most 65536"),
    ("dense " + "9" * 5000 + ", dense", "dense " + "9" * 34 + "...", "must be a whole number"),
    ("conv 0 3, dense", "conv 0 3", "FILTERS must be at least 1"),
    ("maxpool 0, dense", "maxpool 0", "SIDE must be at least 1"),
    ("dense, relu, dense, softmax", "dense", "only the last dense may leave out UNITS"),
    ("dense 5, softmax, dense, softmax", "softmax", "softmax must be the last layer"),
    ("dense, softmax, softmax", "softmax", "softmax must be the last layer"),
    ("dense 3, conv 3 3, dense", "conv 3 3", "it takes pictures, and its input is rows"),
    ("dense 784, maxpool 2, dense", "maxpool 2", "it takes pictures, and its input is rows"),
    ("conv 3 5, dense 784, conv 3 3, dense", "conv 3 3", "it takes pictures"),
    ("conv 5 30, dense, softmax", "conv 5 30", "its input is 28x28: the side must be at most 28"),
    ("maxpool 40, dense", "maxpool 40", "the side must be at most 28"),
    ("conv 3 25, maxpool 5, dense", "maxpool 5", "its input is 4x4"),
    ("conv 3 5, maxpool 9, conv 2 3, dense", "conv 2 3", "is 2x2: the side must be at most 2"),
    ("dropout 1, dense", "dropout 1", "RATE must be at least 0 and less than 1, not 1"),
    ("dropout -0.1, dense", "dropout -0.1", "RATE must be at least 0"),
    ("dropout nan, dense", "dropout nan", "RATE must be at least 0"),
    ("dropout 50, dense", "dropout 50", "less than 1, not 50"),
    ("relu, softmax", "relu", "no layer learns"),
    ("flatten", "flatten", "no layer learns"),
    ("dense 7, relu", "dense 7", "it gives 7 values for 3 classes; end with `dense`"),
    ("dense 20, relu, dense 5, softmax", "dense 5", "it gives 5 values for 3 classes"),
    ("conv 3 3, relu", "conv 3 3", "it gives 3 x 26 x 26 values for 3 classes; end with `dense`"),
    ("dense 9, relu, dense, dropout 0.5", "dropout 0.5", "write only activations"),
    (TOO_MANY, "dense 65536", "there are 4,346,478,592 parameters; a network has at most 64,000,"),
    ("conv 9999 3, conv 9999 3, dense", "conv 9999 3", "a network has at most 1,000,000"),
    ("conv 2000 1, relu, dense", "conv 2000 1", "there are 1,568,784 values of an image;"),
]


@pytest.mark.parametrize(("text", "word", "said"), BAD, ids=lambda value: value[:30] or "nothing")
def test_a_bad_network_is_refused_in_one_line_that_points_at_the_word(text, word, said):
    with pytest.raises(NetworkError) as caught:
        read(text, 3)
    line = str(caught.value)
    assert line.isprintable() and "--network" not in line
    assert re.findall(">>(.*)<<", line) == [word]
    assert said in line.partition("<<")[2]


def test_of_a_long_text_only_the_layers_around_the_wrong_one_are_shown():
    words = [f"dense {number}" for number in range(1, 51)]
    with pytest.raises(NetworkError) as caught:
        read(", ".join([*words, "rellu", *words[:40]]), 3)
    marked = "..., dense 48, dense 49, dense 50, >>rellu<<, dense 1, dense 2, dense 3, ...: no such"
    assert str(caught.value).startswith(marked)


LONG = ["relu," * 9_999 + "dense", "x" * 10**7, "dense " + "9" * 10**7, "," * 10**7]
LONG += ["dropout 0." + "9" * 10**7, "dense" + " 5" * 10**6, "dense, " + "\x1b" * 10**7]


@pytest.mark.parametrize("text", LONG, ids=lambda text: f"{text[:9]!a}")
def test_a_long_text_is_refused_at_once_in_a_short_line(text):
    started = time.process_time()
    with pytest.raises(NetworkError) as caught:
        read(text, 3)
    assert time.process_time() - started < 1
    assert len(str(caught.value)) < 500


def test_a_network_of_very_many_layers_is_told_the_limit():
    largest = ", ".join(["dense 9, relu"] * 49 + ["dense, softmax"])
    assert len(read(largest, 3)) == 100
    with pytest.raises(NetworkError, match="^it has 101 layers; a network has at most 100$"):
        read(f"dropout 0.5, {largest}", 3)


def test_parameters_are_counted_without_drawing_them():
    """51 million of them would take 200 MB."""
    tracemalloc.start()
    network = read("dense 65536, relu, dense, softmax", 10)
    shapes, told = parameter_shapes(network), explain.table(network, "float32")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shapes == [(784, 65536), (1, 65536), (65536, 10), (1, 10)]
    assert "52,101,130 parameters" in told and peak < 10**6


def test_a_mistyped_name_is_answered_with_the_names():
    hints = {"cnnn": "did you mean cnn? ", "LeNet": "did you mean lenet? ", "x": ""}
    hints |= {"lenet5": "did you mean lenet? ", "c-n-n": "did you mean cnn? "}
    for text, hint in hints.items():
        with pytest.raises(UserError) as caught:
            recipes.named(text, None, 10)
        said = str(caught.value)
        assert said.startswith(f"--network: no network is called {text}; {hint}the names are ")
        assert ", ".join(recipes.NETWORKS) in said
    with pytest.raises(UserError, match="--network: >>dropout<<: write `dropout RATE`"):
        recipes.named("dropout", None, 10)
    with pytest.raises(UserError) as caught:
        recipes.named("x" * 10**6, None, 10)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["dense 5\nrelu", "\x1b[2Jdense, relu", "dense\u202e 5, dense"])
def test_what_a_text_does_to_a_terminal_is_not_done_by_its_refusal(text):
    with pytest.raises(NetworkError) as caught:
        read(text, 3)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", [text for text, _, _ in BAD][::6])
def test_a_bad_network_ends_the_program_with_status_2_before_spark_starts(
    text, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "spark_context", None)
    with pytest.raises(SystemExit) as caught:
        train.main(["--digits", "3", "7", "9", "--network", text])
    output, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert caught.value.code == 2 and output == "" and not list(tmp_path.iterdir())
    assert line.startswith("error: --network: ") and line.endswith("; see train.py --help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--network mlp --hidden 32", "--hidden changes only the article's network"),
        ("--network mlp --patience 3 --validation 0", "--patience needs"),
        ("--validation 1", "argument --validation: '1' is not a number at least 0"),
        ("--patience 0", "argument --patience: '0' is not a whole number"),
        ("--shift 15", "argument --shift: '15' is more than 14"),
        ("--rotation 91", "argument --rotation: '91' is not a number at least 0 and at most 90"),
        ("--zoom -0.1", "argument --zoom: '-0.1' is not a number at least 0 and at most 0.5"),
        ("--schedule step", "argument --schedule: invalid choice: 'step'"),
    ],
)
def test_other_wrong_settings_of_a_network_are_refused_as_well(words, said, capsys, monkeypatch):
    monkeypatch.setattr(run, "spark_context", None)
    with pytest.raises(SystemExit) as caught:
        train.main(words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and line.startswith(f"error: {said}")


@pytest.mark.parametrize("make", [lambda: Dropout(1), lambda: Dense(0), lambda: Conv(2, 0)])
def test_a_layer_of_python_refuses_what_a_text_refuses(make):
    with pytest.raises(NetworkError):
        make()


def explained(capsys, monkeypatch, *words: str) -> list[str]:
    """What --explain prints, where there is no Spark."""
    monkeypatch.setattr(run, "spark_context", None)
    assert train.main([*words, "--explain"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_article_explained_is_the_table_of_the_readme(capsys, monkeypatch):
    readme = re.findall(r"^\| (\d|-) \|.*?\| \((.*)\) \|$", (ROOT / "README.md").read_text(), re.M)
    told = []
    for line in explained(capsys, monkeypatch):
        for number, elements in re.findall(r"^(\d|-) .*\((.*)\)$", line):
            names = [element.partition(" ")[0] for element in elements.split(", ")]
            told.append((number, names))
    assert len(told) == 9
    assert told == [(number, words.replace("\\", "").split(", ")) for number, words in readme]


def test_the_numbers_of_a_network_are_told(capsys, monkeypatch):
    """LeNet on 28 x 28 pixels without padding has 44,426 parameters, for ten classes."""
    *_, parameters, image, epoch = explained(
        capsys, monkeypatch, "--digits", "all", "--network", "lenet"
    )
    assert parameters.startswith("44,426 parameters: W1 6x1x5x5, B1 1x6, W2 16x6x5x5, ")
    assert "177,704 bytes" in image and "177,704 bytes" in epoch
    *_, image, _ = explained(capsys, monkeypatch, "--dtype", "float64")
    assert f"{(784 * 64 + 64 + 64 * 2 + 2) * 8:,} bytes" in image


@pytest.mark.parametrize("text", [*NETWORKS, *recipes.NETWORKS.values()])
def test_a_network_explained_has_a_map_forward_and_one_backward_for_each_layer(text):
    network = read(text, 3)
    maps = [line for line in explain.table(network, "float32").splitlines() if "(" in line]
    numbers = [int(line.split()[0]) for line in maps if line.split()[0].isdigit()]
    first = next(place for place, layer in enumerate(network) if layer.learns)
    assert numbers == list(range(1, 2 * len(network) - first + 1))
    sums = re.findall(r"\(E, (.*), Acc, 1\)", "\n".join(maps))
    names = [name.partition(" ")[0] for name in sums[0].split(", ")]
    pairs = range(sum(layer.learns for layer in network), 0, -1)
    assert names == [f"d{kind}{number}" for number in pairs for kind in "BW"]


UNUSUAL = ["dropout 0.2, conv 3 5, dense", "dense 5, relu, tanh, dense 4, sigmoid, dense"]
UNUSUAL += ["relu, dense 5, relu, dense", "conv 3 5, conv 4 2, relu, dense, tanh, softmax"]
SYMBOL = r"(?<!\w)d?(?:x|[HYWB]\d*\^?)'*(?!\w)"


@pytest.mark.parametrize("text", [*NETWORKS, *UNUSUAL, *recipes.NETWORKS.values()])
def test_a_map_explained_computes_from_what_the_tuple_before_it_holds(text):
    network = read(text, 3)
    names = explain.value_names(network)
    assert len(set(names)) == len(names) == len(network) + 1
    held = {"x", "y*"}
    for place, _, formula, after in explain.maps(network):
        known = held | {"E", "Acc", *parameter_names(2 * len(network))}
        for part in formula.replace("^T", "").split(", "):
            left, _, right = part.rpartition(" = ")
            if left:
                known.add(left)
            else:  # "E", or "dB2, dW2 from dH^ and H"
                known |= {f"d{name}" for name in parameter_names(2 * len(network))}
            assert set(re.findall(SYMBOL, right)) <= known, (place, formula, held)
        held = {name for name, _ in after}
        assert len(held) == len(after)


@pytest.fixture
def leaky_relu():
    """A layer that no other module knows."""

    @dataclasses.dataclass(frozen=True)
    class LeakyRelu(Activation):
        slope: float
        is_relu = True

        def forward(self, a, parameters, key):
            return a, np.where(a > 0, a, self.slope * a)

        def input_delta(self, kept, delta, parameters):
            return delta * np.where(kept > 0, 1, self.slope)

    yield LeakyRelu
    del LAYERS["leakyrelu"]


def test_a_new_layer_is_read_trained_and_written_by_its_class_alone(leaky_relu):
    text = "conv 2 5, maxpool 4, leakyrelu 0.1, flatten, dense 5, leakyrelu 0.2, dense 3, softmax"
    network = read(text, 3)
    assert leaky_relu(0.1) in network and text_of(network) == text
    with pytest.raises(NetworkError, match="write `leakyrelu SLOPE`"):
        read("leakyrelu, dense", 3)
    with pytest.raises(NetworkError, match="did you mean leakyrelu.*, leakyrelu SLOPE"):
        read("leakyrel, dense", 3)
    check_layer(leaky_relu(0.1), (3, 5))
    check_gradients(network)
    relu = read(re.sub(r"leakyrelu 0..", "relu", text), 3)
    for one, other in zip(*(initial_parameters(each, 1) for each in (network, relu)), strict=True):
        assert one.tobytes() == other.tobytes(), "its weights start as those before a relu"
    why_not = page.why_not(Trained(network, (), [], []))
    assert why_not == "it cannot show layers of the kind leakyrelu"


def test_a_new_layer_is_explained_by_its_class_alone(leaky_relu):
    forward_and_back = explain.maps(read("dense 5, leakyrelu 0.1, dense, leakyrelu 0.2", 3))
    assert [step.formula for step in forward_and_back] == [
        "H^ = x W1 + B1",
        "H = leakyrelu(H^)",
        "Y^ = H W2 + B2",
        "Y = leakyrelu(Y^)",
        "E, Acc, dB2 = (Y - y*) * leakyrelu'(Y^)",
        "dW2 = H^T dB2",
        "dB1 = (dB2 W2^T) * leakyrelu'(H^)",
        "dW1 = x^T dB1",
    ]


def test_the_chain_of_a_new_layer_is_its_maps_on_all_images_at_once(leaky_relu):
    network = read("conv 2 5, maxpool 4, leakyrelu 0.1, dense 5, leakyrelu 0.2, dense, softmax", 3)
    parameters, (X, y_true) = some_parameters(network), some_batch(1, 3)
    shared = SimpleNamespace(value=by_layer(network, parameters))
    elements = X, y_true
    for place in range(len(network)):
        elements = chain.forward_map(network, shared, place, None)(elements)
    for place in backward_places(network):
        elements = chain.backward_map(network, shared, place)(elements)
    expected = batch_tuple(network, parameters, X, y_true, KEY)
    for one, other in zip(elements, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def filled(*words: str):
    return from_command_line(list(words))[0]


BY_RECIPE = ["strategy", "optimizer", "schedule", "batch_size", "shift", "epochs", "fraction"]
BY_RECIPE += ["learning_rate", "validation", "rotation", "zoom"]


@pytest.mark.parametrize("digits", [["0", "1"], ["all"]])
@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
@pytest.mark.parametrize(
    "network", [*recipes.NETWORKS, "dense 9, tanh, dense", "conv 2 5, dense, softmax"]
)
def test_every_network_and_strategy_gets_all_settings_and_no_doubt(network, strategy, digits):
    words = ["--network", network, "--digits", *digits]
    words += [] if strategy is None else ["--strategy", strategy]
    for optimizer in (None, *OPTIMIZERS):
        chosen = filled(*words, *([] if optimizer is None else ["--optimizer", optimizer]))
        assert all(getattr(chosen, name) is not None for name in BY_RECIPE)
        assert chosen.strategy == (strategy or chosen.strategy)
        assert chosen.optimizer == (optimizer or chosen.optimizer)
        assert chosen.learning_rate > 0
        slow = chosen.strategy != "averaging" and optimizer == "sgd" and digits == ["all"]
        assert [doubt.split()[1] for doubt in doubts(chosen)] == ["sgd"] * slow
        assert complete_settings(vars(chosen)) == chosen, "complete settings stay as they are"


def test_the_default_is_the_article():
    chosen = vars(filled())
    expected = {"strategy": "maps", "optimizer": "sgd", "schedule": "constant", "epochs": 50}
    expected |= {"learning_rate": 0.1, "fraction": 0.7, "shift": 0, "weight_decay": 0.0}
    expected |= {"rotation": 0.0, "zoom": 0.0}
    expected |= {"network": "dense 64, sigmoid, dense 2, sigmoid", "hidden": 64, "seed": 1}
    expected |= {"digits": [0, 1], "dtype": "float32", "validation": 0.0, "patience": None}
    assert {name: chosen[name] for name in expected} == expected


def test_a_flag_that_is_given_wins_over_the_recipe():
    given = {"--strategy": "partitions", "--optimizer": "momentum", "--schedule": "constant"}
    given |= {"--batch-size": "7", "--shift": "3", "--epochs": "44", "--fraction": "0.25"}
    given |= {"--learning-rate": "0.0625", "--validation": "0.5"}
    given |= {"--rotation": "5.5", "--zoom": "0.25"}
    for network in recipes.NETWORKS:
        chosen = filled("--network", network, *itertools.chain.from_iterable(given.items()))
        for flag, value in given.items():
            assert str(getattr(chosen, flag[2:].replace("-", "_"))) == value


def test_patience_brings_a_validation_share():
    assert filled("--patience", "3").validation == 0.1
    assert filled("--patience", "3", "--validation", "0.3").validation == 0.3
    assert filled().validation == 0


@pytest.mark.parametrize("strategy", ["maps", "partitions"])
def test_too_few_steps_for_ten_digits_are_told_with_what_to_type(strategy):
    words = ["--digits", "all", "--strategy", strategy]
    (doubt,) = doubts(filled(*words, "--epochs", "5"))
    assert f"--strategy {strategy} takes one step per epoch; 5 steps" in doubt
    instead = re.search("try (--strategy averaging), or (--epochs 50)", doubt)
    for typed in instead.groups():
        assert doubts(filled("--digits", "all", "--epochs", "5", *typed.split())) == []


def test_small_batches_get_a_small_rate_and_very_large_ones_are_doubted():
    words = ["--digits", "all", "--strategy", "averaging", "--batch-size"]
    usual = filled(*words[:-1]).learning_rate
    rates = {size: filled(*words, size).learning_rate for size in ("1", "8", "32", "512")}
    assert rates == {"1": usual / 32, "8": usual / 4, "32": usual, "512": usual}
    (doubt,) = doubts(filled(*words, "8192"))
    assert doubt.startswith("--batch-size 8192 leaves only a few steps per epoch")
    assert doubts(filled(*words, "1")) == doubts(filled(*words, "1024")) == []


@pytest.mark.parametrize("network", recipes.NETWORKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rate_that_diverges_is_told_with_the_one_that_learns(network, strategy, optimizer):
    words = ["--digits", "all", "--network", network]
    words += ["--strategy", strategy, "--optimizer", optimizer]
    doubt = doubts(filled(*words, "--learning-rate", "1000"))[-1]
    usual = re.search(r"--learning-rate 1000 .* the default is ([\d.]+)$", doubt)[1]
    assert float(usual) == filled(*words).learning_rate
