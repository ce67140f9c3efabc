"""The optimizers, the rates and the weight decay, number by number as their papers have them."""

import math

import numpy as np
import pytest

from results.model_files import Epoch
from training.optimizers import OPTIMIZERS, with_weight_decay
from training.settings import complete
from training.steps import bold_driver, driver_step, rates_of_epoch, with_bold_driver

SHAPES = [(3, 2), (1, 2), (2, 2), (1, 2)]


def arrays(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape) for shape in SHAPES)


def sgd_by_hand(theta: float, gradients: list[float], alpha: float) -> float:
    for g in gradients:
        theta -= alpha * g
    return theta


def momentum_by_hand(theta: float, gradients: list[float], alpha: float) -> float:
    v = 0.0
    for g in gradients:
        v = 0.9 * v + g
        theta -= alpha * v
    return theta


def adam_by_hand(theta: float, gradients: list[float], alpha: float) -> float:
    """Kingma and Ba 2015, Algorithm 1, line for line."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * g**2
        m_hat = m / (1 - 0.9**t)
        v_hat = v / (1 - 0.999**t)
        theta -= alpha * m_hat / (math.sqrt(v_hat) + 1e-8)
    return theta


BY_HAND = {"sgd": sgd_by_hand, "momentum": momentum_by_hand, "adam": adam_by_hand}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_steps_of_an_optimizer_are_those_of_its_paper(name, size):
    start, state = arrays(0), {}
    steps = [tuple(size * g for g in arrays(number)) for number in (1, 2, 3, 4)]
    theta = start
    for t, gradients in enumerate(steps, 1):
        before = [array.copy() for array in (*theta, *gradients)]
        theta_before, gradients_before = theta, gradients
        theta, state = OPTIMIZERS[name](theta, gradients, state, 0.03, t)
        for array, copy in zip((*theta_before, *gradients_before), before, strict=True):
            np.testing.assert_array_equal(array, copy, "what came in was changed")
    for number, shape in enumerate(SHAPES):
        for place in np.ndindex(shape):
            gradients = [float(step[number][place]) for step in steps]
            by_hand = BY_HAND[name](float(start[number][place]), gradients, 0.03)
            assert theta[number][place] == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_the_precision_of_the_parameters(name):
    parameters, gradients = (tuple(a.astype("f4") for a in arrays(seed)) for seed in (0, 1))
    after, state = OPTIMIZERS[name](parameters, gradients, {}, 0.03, 1)
    assert {array.dtype for array in after} == {np.dtype("float32")}
    assert {array.dtype for kind in state.values() for array in kind} <= {np.dtype("float32")}


def test_weight_decay_pulls_the_weights_and_leaves_the_biases():
    parameters, gradients = arrays(0), arrays(1)
    W1, B1, W2, B2 = with_weight_decay(gradients, parameters, 0.5)
    np.testing.assert_allclose(W1, gradients[0] + 0.5 * parameters[0])
    np.testing.assert_array_equal(B1, gradients[1])
    np.testing.assert_allclose(W2, gradients[2] + 0.5 * parameters[2])
    np.testing.assert_array_equal(B2, gradients[3])
    for one, other in zip(with_weight_decay(gradients, parameters, 0), gradients, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_driver_steps_with_the_optimizer_and_the_weight_decay(name):
    chosen = complete({"strategy": "partitions", "optimizer": name, "weight_decay": 0.5})
    parameters, gradients = arrays(0), arrays(1)
    found, _ = driver_step(chosen)(parameters, gradients, {}, 0.25, 1)
    decayed = with_weight_decay(gradients, parameters, 0.5)
    expected, _ = OPTIMIZERS[name](parameters, decayed, {}, 0.25, 1)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_in_averaging_the_driver_takes_the_mean_whatever_the_rate():
    chosen = complete({"strategy": "averaging", "weight_decay": 0.5, "optimizer": "adam"})
    parameters, differences = arrays(0), arrays(1)
    found, state = driver_step(chosen)(parameters, differences, {}, 0.25, 3)
    for theta, start, difference in zip(found, parameters, differences, strict=True):
        np.testing.assert_array_equal(theta, start - difference)
    assert state == {}, "the optimizer starts anew in each pass"


@pytest.mark.parametrize(
    ("costs", "rate"),
    [([], 2), ([5], 2), ([5, 4], 2.1), ([4, 5], 1), ([4, 4], 2), ([5, 4, 4, 6, 5], 1.1025)],
)
def test_the_bold_driver_takes_5_per_cent_more_after_a_fall_and_half_after_a_rise(costs, rate):
    assert bold_driver(2, costs) == pytest.approx(rate)
    history = [Epoch(number, cost, 0.5, 10, 0.1) for number, cost in enumerate(costs, 1)]
    given = {"strategy": "partitions", "learning_rate": 2}
    now = with_bold_driver(complete({**given, "bold_driver": True}), history)
    assert now.learning_rate == pytest.approx(rate)
    assert with_bold_driver(complete(given), history).learning_rate == 2


def test_a_constant_rate_stays_and_a_linear_one_falls_to_0():
    constant, linear = (
        complete({"learning_rate": 0.8, "epochs": 4, "schedule": schedule})
        for schedule in ("constant", "linear")
    )
    for epoch in (1, 2, 3, 4):
        assert rates_of_epoch(constant, epoch) == (0.8, 0.8)
        expected = 0.2 * (5 - epoch), 0.2 * (4 - epoch)
        assert rates_of_epoch(linear, epoch) == pytest.approx(expected)
