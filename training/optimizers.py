"""Optimizers: functions of (parameters, mean gradients, state, learning rate, t), pure NumPy.

Each returns new parameters and a new state. `state` is a dict: each value holds arrays with the
shapes of the parameters. It is empty before the first step. t counts the steps from 1.
"""

import numpy as np

from network.layers import Arrays, State

MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def with_weight_decay(gradients: Arrays, parameters: Arrays, strength: float) -> Arrays:
    """The gradients of E + strength/2 * (|W1|^2 + |W2|^2 + ...); biases are not penalised."""
    if strength == 0:
        return gradients
    decayed = list(gradients)
    for number in range(0, len(decayed), 2):
        decayed[number] = decayed[number] + strength * parameters[number]
    return tuple(decayed)


def sgd(
    parameters: Arrays, gradients: Arrays, state: State, learning_rate: float, t: int
) -> tuple[Arrays, State]:
    """The article's step: theta <- theta - alpha * gradient."""
    steps = zip(parameters, gradients, strict=True)
    return tuple(theta - learning_rate * g for theta, g in steps), state


def momentum(
    parameters: Arrays, gradients: Arrays, state: State, learning_rate: float, t: int
) -> tuple[Arrays, State]:
    """Let v <- 0.9 v + gradient, theta <- theta - alpha v (Polyak 1964, in PyTorch's form)."""
    velocity = state.get("velocity") or _zeros(parameters)
    velocity = tuple(MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True))
    parameters, _ = sgd(parameters, velocity, {}, learning_rate, t)
    return parameters, {"velocity": velocity}


def adam(
    parameters: Arrays, gradients: Arrays, state: State, learning_rate: float, t: int
) -> tuple[Arrays, State]:
    """Adam with its authors' constants.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2,
    theta <- theta - alpha_t m / (sqrt(v) + epsilon_t), with root = sqrt(1 - beta2^t),
    alpha_t = alpha root / (1 - beta1^t) and epsilon_t = epsilon root. Source: Kingma and Ba 2015,
    Algorithm 1, in the order of computation at the end of section 2.
    """
    before = state.get("m") or _zeros(parameters), state.get("v") or _zeros(parameters)
    root = (1 - BETA2**t) ** 0.5
    rate = learning_rate * root / (1 - BETA1**t)
    after = []
    for theta, g, m, v in zip(parameters, gradients, *before, strict=True):
        # One array for all intermediate results: 15% faster where the arrays exceed the cache.
        step = (1 - BETA1) * g
        m = BETA1 * m + step
        np.multiply(1 - BETA2, g, out=step)
        step *= g
        v = BETA2 * v + step
        np.sqrt(v, out=step)
        step += EPSILON * root
        np.divide(m, step, out=step)
        step *= rate
        after.append((theta - step, m, v))
    parameters, all_m, all_v = (tuple(arrays) for arrays in zip(*after, strict=True))
    return parameters, {"m": all_m, "v": all_v}


OPTIMIZERS = {"sgd": sgd, "momentum": momentum, "adam": adam}


def _zeros(parameters: Arrays) -> Arrays:
    return tuple(map(np.zeros_like, parameters))
