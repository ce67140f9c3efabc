import contextlib
import functools
import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.sequential import batch_tuple, by_layer, forward, read
from nn_math import (
    Parameters,
    Sums,
    add,
    affine,
    as_sums,
    correct,
    count_outcomes,
    hidden_delta,
    initial_parameters,
    mean_gradients,
    output_error,
    precision_recall_f1,
    random_stream,
    sigmoid,
    sigmoid_prime,
    squared_error,
    weight_gradient,
)

FLOATS = ("float32", "float64")


def logistic(z: float) -> float:
    """The sigmoid of one Python float, by the form that never divides by a large number."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def plain_error(X, y_true, W1, B1, W2, B2) -> float:
    """E by the article's formulas alone, without any function of nn_math."""
    H = 1 / (1 + np.exp(-(X @ W1 + B1)))
    Y = 1 / (1 + np.exp(-(H @ W2 + B2)))
    return sum(0.5 * (y - t) ** 2 for y, t in zip(Y.flat, y_true.flat, strict=True))


def article(parameters: Parameters):
    """The article's network, of the width and the outputs that these parameters have."""
    hidden, outputs = parameters.W2.shape
    return read(f"dense {hidden}, sigmoid, dense, sigmoid", outputs)


def all_maps(X, y_true, parameters: Parameters) -> tuple:
    """(E, dB2, dW2, dB1, dW1, Acc, n) of all rows at once."""
    return batch_tuple(article(parameters), parameters, X, y_true, (1,))


def batch_sums(X, y_true, parameters: Parameters) -> Sums:
    return as_sums(all_maps(X, y_true, parameters))


def layers_of(X, parameters: Parameters) -> list[np.ndarray]:
    """H^, H, Y^, Y: the values of the article's four layers."""
    values, value = [], X
    network = article(parameters)
    for layer, own in zip(network, by_layer(network, parameters), strict=True):
        _, value = layer.forward(value, own, None)
        values.append(value)
    np.testing.assert_array_equal(value, forward(network, parameters, X)[1])
    return values


def random_batch(n: int, k: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """X (n, 784), a fifth of it inked as in MNIST, and y* (n, k)."""
    rng = np.random.default_rng(n * 100 + k)
    X = rng.random((n, 784)) * (rng.random((n, 784)) < 0.2)
    return X.astype(dtype), np.eye(k, dtype=dtype)[rng.integers(k, size=n)]


def finite_floats(width: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of any floats of 32 or 64 bits but nan and the infinities."""
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return st.lists(numbers, min_size=1).map(lambda z: np.array(z, f"float{width}"))


@contextlib.contextmanager
def no_warning():
    """Every warning of NumPy is an error, save underflow, which rounds to zero as it should."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("n", [1, 7])
def test_gradients_are_those_of_central_differences(n, k):
    X, y_true = random_batch(n, k)
    parameters = initial_parameters(5, hidden=3, outputs=k, dtype="float64")
    sums = batch_sums(X, y_true, parameters)
    step = 1e-5
    for (name, values), gradient in zip(parameters._asdict().items(), sums.gradients, strict=True):
        by_difference = np.empty_like(values)
        for place in np.ndindex(values.shape):
            errors = []
            for change in (step, -step):
                moved = values.copy()
                moved[place] += change
                errors.append(plain_error(X, y_true, **parameters._asdict() | {name: moved}))
            by_difference[place] = (errors[0] - errors[1]) / (2 * step)
        assert np.abs(gradient).max() > 1e-4, "a gradient of zero would be compared with noise"
        np.testing.assert_allclose(gradient, by_difference, rtol=1e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("n", [1, 7])
def test_error_is_half_the_sum_of_squares(n):
    X, y_true = random_batch(n, 10)
    parameters = initial_parameters(5, hidden=3, outputs=10, dtype="float64")
    by_hand = plain_error(X, y_true, *parameters)
    Y = layers_of(X, parameters)[-1]
    assert squared_error(Y, y_true) == pytest.approx(by_hand, rel=1e-12)
    assert batch_sums(X, y_true, parameters).E == pytest.approx(by_hand, rel=1e-12)


def test_forward_returns_both_layers_before_and_after_the_sigmoid():
    X, y_true = random_batch(4, 2)
    W1, B1, W2, B2 = parameters = initial_parameters(5, hidden=3, outputs=2, dtype="float64")
    H_hat, H, Y_hat, Y = layers_of(X, parameters)
    for row, unit in np.ndindex(4, 3):
        total = math.fsum(x * w for x, w in zip(X[row], W1[:, unit], strict=True)) + B1[0, unit]
        assert H_hat[row, unit] == pytest.approx(total, rel=1e-12)
        assert H[row, unit] == pytest.approx(logistic(total), rel=1e-12)
    for row, output in np.ndindex(4, 2):
        total = math.fsum(h * w for h, w in zip(H[row], W2[:, output], strict=True)) + B2[0, output]
        assert Y_hat[row, output] == pytest.approx(total, rel=1e-12)
        assert Y[row, output] == pytest.approx(logistic(total), rel=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 7])
def test_everything_keeps_its_shape_and_its_precision(n, dtype):
    X, y_true = random_batch(n, 10, dtype)
    parameters = initial_parameters(5, hidden=3, outputs=10, dtype=dtype)
    sums = batch_sums(X, y_true, parameters)
    for values, gradient in zip(parameters, sums.gradients, strict=True):
        assert (gradient.shape, gradient.dtype) == (values.shape, dtype)
    shapes = [layer.shape for layer in layers_of(X, parameters)]
    assert shapes == [(n, 3), (n, 3), (n, 10), (n, 10)]
    assert {layer.dtype for layer in layers_of(X, parameters)} == {np.dtype(dtype)}
    assert type(sums.E) is float and sums.n == n and 0 <= sums.Acc <= n


def test_rows_one_at_a_time_add_up_to_the_rows_at_once():
    X, y_true = random_batch(23, 10)
    parameters = initial_parameters(5, hidden=6, outputs=10, dtype="float64")
    one_by_one = (all_maps(X[i : i + 1], y_true[i : i + 1], parameters) for i in range(23))
    total, at_once = functools.reduce(add, one_by_one), all_maps(X, y_true, parameters)
    assert total[-2:] == at_once[-2:] == (total[-2], 23)
    names = "E", "dB2", "dW2", "dB1", "dW1"
    for name, one, other in zip(names, total[:-2], at_once[:-2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_maps_on_one_image_give_the_bits_of_all_layers_at_once(dtype):
    X, y_true = random_batch(1, 2, dtype)
    W1, B1, W2, B2 = parameters = initial_parameters(5, hidden=64, outputs=2, dtype=dtype)
    H_hat = affine(X, W1, B1)
    H = sigmoid(H_hat)
    Y_hat = affine(H, W2, B2)
    Y = sigmoid(Y_hat)
    E, dB2, Acc = output_error(Y, y_true)
    dB1 = hidden_delta(dB2, W2, H_hat)
    by_maps = E, dB2, weight_gradient(H, dB2), dB1, weight_gradient(X, dB1), Acc, 1
    for mine, theirs in zip(by_maps, all_maps(X, y_true, parameters), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


def test_add_gives_the_sums_and_writes_them_into_the_first():
    X, y_true = random_batch(9, 2)
    parameters = initial_parameters(5, hidden=3, outputs=2, dtype="float64")
    first = all_maps(X[:4], y_true[:4], parameters)
    second = all_maps(X[4:], y_true[4:], parameters)
    expected = [x + y for x, y in zip(first, second, strict=True)]
    untouched = [np.copy(y) for y in second]
    total = add(first, second)
    for i, value in enumerate(expected):
        assert np.array_equal(total[i], value)
        assert np.array_equal(second[i], untouched[i])
        if isinstance(value, np.ndarray):
            assert total[i] is first[i]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("inputs", "units"), [(784, 64), (64, 2), (64, 10), (1, 1)])
def test_weight_gradient_of_one_row_has_the_bits_of_the_matrix_product(inputs, units, dtype):
    rng = np.random.default_rng(inputs)
    a = (rng.random((1, inputs)) * (rng.random((1, inputs)) < 0.7)).astype(dtype)
    delta = rng.normal(size=(1, units)).astype(dtype)
    # Adding 0.0 makes 0.0 of -0.0, which broadcasting yields for black pixels: no sum differs.
    of_one_row, of_matrices = weight_gradient(a, delta) + 0.0, a.T @ delta + 0.0
    assert of_one_row.tobytes() == of_matrices.tobytes()


@pytest.mark.parametrize("n", [1, 2, 9])
def test_weight_gradient_is_the_sum_of_outer_products(n):
    rng = np.random.default_rng(n)
    a, delta = rng.normal(size=(n, 5)), rng.normal(size=(n, 3))
    expected = [
        [math.fsum(a[r, i] * delta[r, j] for r in range(n)) for j in range(3)] for i in range(5)
    ]
    np.testing.assert_allclose(weight_gradient(a, delta), expected, rtol=1e-12, atol=1e-15)


def test_mean_gradients_come_in_the_order_of_the_parameters():
    X, y_true = random_batch(7, 10)
    parameters = initial_parameters(5, hidden=3, outputs=10, dtype="float64")
    after_map_8 = all_maps(X, y_true, parameters)
    _, dB2, dW2, dB1, dW1, _, _ = after_map_8
    means = mean_gradients(as_sums(after_map_8))
    for mean, gradient in zip(means, (dW1, dB1, dW2, dB2), strict=True):
        np.testing.assert_array_equal(mean, gradient / 7)


@pytest.mark.parametrize(
    ("dtype", "low", "rel"), [("float32", -87.0, 3e-7), ("float64", -708.0, 1e-15)]
)
@no_warning()
def test_sigmoid_is_right_to_the_last_digits_down_to_the_limit(dtype, low, rel):
    z = np.concatenate([np.linspace(low, 40, 4001), np.linspace(-3, 3, 1001)]).astype(dtype)
    expected = [logistic(float(one)) for one in z]
    np.testing.assert_allclose(sigmoid(z).astype(float), expected, rtol=rel, atol=0)


@pytest.mark.parametrize("dtype", FLOATS)
@no_warning()
def test_sigmoid_of_the_most_extreme_numbers_is_0_or_1(dtype):
    largest = np.finfo(dtype).max
    z = np.array([-largest, -1e4, 1e4, largest], dtype)
    np.testing.assert_allclose(sigmoid(z), [0, 0, 1, 1], rtol=0, atol=1e-38)
    np.testing.assert_allclose(sigmoid_prime(z), 0, rtol=0, atol=1e-38)


@settings(deadline=None)
@given(st.sampled_from([32, 64]).flatmap(finite_floats))
@no_warning()
def test_sigmoid_of_any_finite_number_is_between_0_and_1(z):
    a = sigmoid(z)
    assert (a.shape, a.dtype) == (z.shape, z.dtype)
    assert ((a >= 0) & (a <= 1)).all()
    assert (np.diff(a[z.argsort()]) >= 0).all()


def test_sigmoid_prime_is_the_slope_of_the_sigmoid():
    z, step = np.linspace(-20, 20, 401), 1e-4
    slopes = [(logistic(one + step) - logistic(one - step)) / (2 * step) for one in z.tolist()]
    np.testing.assert_allclose(sigmoid_prime(z), slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("Y", "y_true", "right"),
    [
        ([[0.9, 0.1]], [[1, 0]], 1),
        ([[0.9, 0.1]], [[0, 1]], 0),
        ([[0.1, 0.2]], [[0, 1]], 1),  # argmax asks for no threshold
        ([[0.5, 0.5]], [[1, 0]], 1),  # of equals, the first
        ([[0.5, 0.5]], [[0, 1]], 0),
        ([[0, 1, 0], [0.3, 0.2, 0.4], [1, 0, 0]], [[0, 1, 0], [1, 0, 0], [1, 0, 0]], 2),
    ],
)
def test_correct_counts_the_rows_whose_largest_output_is_at_the_label(Y, y_true, right):
    assert correct(np.array(Y), np.array(y_true)) == right


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", [2, 10])
def test_initial_parameters_have_the_shapes_of_the_network(k, dtype):
    parameters = initial_parameters(1, 64, k, dtype)
    assert [array.shape for array in parameters] == [(784, 64), (1, 64), (64, k), (1, k)]
    assert {array.dtype for array in parameters} == {np.dtype(dtype)}


def test_initial_parameters_are_uniform_from_minus_to_plus_one_half():
    parameters = initial_parameters(1, 64, 10, "float64")
    for array in parameters:
        assert array.min() >= -0.5 and array.max() < 0.5
    draws = np.sort(np.concatenate([array.ravel() for array in parameters]))
    n = len(draws)
    assert abs(draws.mean()) < 4 * math.sqrt(1 / 12 / n)
    assert draws.std() == pytest.approx(math.sqrt(1 / 12), rel=0.01)
    # Kolmogorov and Smirnov: a larger distance has a probability of one in a thousand.
    distance = np.abs(draws + 0.5 - (np.arange(n) + 0.5) / n).max()
    assert distance < 1.95 / math.sqrt(n)


def test_initial_parameters_are_the_same_bits_for_the_same_seed_and_others_for_another():
    def bits(seed):
        return [array.tobytes() for array in initial_parameters(seed, 64, 2)]

    assert bits(7) == bits(7)
    assert all(one != other for one, other in zip(bits(7), bits(8), strict=True))


def test_initial_parameters_in_float32_are_the_rounded_draws_of_float64():
    single, double = (initial_parameters(7, 64, 2, dtype) for dtype in FLOATS)
    for rounded, drawn in zip(single, double, strict=True):
        assert rounded.tobytes() == drawn.astype("float32").tobytes()


def test_random_stream_repeats_itself_for_the_same_key_only():
    keys = [(seed, *key) for seed in range(4) for key in itertools.product(range(6), range(6))]
    keys += [(seed, epoch) for seed in range(4) for epoch in range(6)]
    keys += [(seed,) for seed in range(4)]
    first_draws = [random_stream(*key).integers(2**63) for key in keys]
    assert len(set(first_draws)) == len(keys)
    assert first_draws == [random_stream(*key).integers(2**63) for key in keys]


def test_random_streams_of_neighbouring_keys_are_independent():
    keys = [(1, epoch, partition) for epoch in range(6) for partition in range(5)]
    draws = np.stack([random_stream(*key).random(2000) for key in keys])
    correlations = np.corrcoef(draws)[np.triu_indices(len(keys), 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(2000)
    first = np.sort([random_stream(1, epoch).random() for epoch in range(1000)])
    assert np.abs(first - (np.arange(1000) + 0.5) / 1000).max() < 1.95 / math.sqrt(1000)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("n", "k"), [(1, 2), (200, 2), (200, 10)])
def test_outcomes_are_those_counted_one_by_one(n, k, dtype):
    rng = np.random.default_rng(n + k)
    Y = (rng.integers(0, 11, (n, k)) / 10).astype(dtype)  # among them many 0.5, which round to 0
    y_true = np.eye(k, dtype=dtype)[rng.integers(k, size=n)]
    expected = [[0, 0, 0, 0] for _ in range(k)]
    for outputs, label in zip(Y.tolist(), y_true.tolist(), strict=True):
        for c in range(k):
            predicted, actual = round(outputs[c]) == 1, label[c] == 1.0
            outcome = {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}
            expected[c][outcome[predicted, actual]] += 1
    counts = count_outcomes(Y, y_true)
    assert counts.tolist() == expected
    assert (counts.sum(axis=1) == n).all()


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "expected"),
    [
        (951, 62, 29, (0.939, 0.970, 0.954)),  # the article's digit 0
        (1112, 73, 23, (0.938, 0.980, 0.959)),  # the article's digit 1
    ],
)
def test_scores_of_the_published_counts_are_the_published_scores(tp, fp, fn, expected):
    precision, recall, f1 = precision_recall_f1(tp, fp, fn)
    assert tuple(round(score, 3) for score in (precision, recall, f1)) == expected
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-12)


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "expected"),
    [
        (0, 0, 0, (0.0, 0.0, 0.0)),
        (0, 0, 5, (0.0, 0.0, 0.0)),
        (0, 5, 0, (0.0, 0.0, 0.0)),
        (5, 0, 0, (1.0, 1.0, 1.0)),
    ],
)
def test_scores_are_0_where_nothing_can_be_divided(tp, fp, fn, expected):
    assert precision_recall_f1(tp, fp, fn) == expected
    of_numpy = precision_recall_f1(*np.array([tp, fp, fn]))
    assert of_numpy == expected and {type(score) for score in of_numpy} == {float}
