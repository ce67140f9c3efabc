"""The driver's step: plain functions of (parameters, gradients, state), pure NumPy.

Each takes the mean gradients of an epoch and gives back new parameters and new state; `state` is a
dict of arrays in the shapes of the parameters, empty before the first epoch.
"""

import itertools

import numpy as np

from nn_math import Parameters

State = dict[str, Parameters]

MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def with_weight_decay(gradients: Parameters, parameters: Parameters, strength: float) -> Parameters:
    """The gradients of E + strength/2 * (|W1|^2 + |W2|^2); biases are left alone."""
    if strength == 0:
        return gradients
    return gradients._replace(
        W1=gradients.W1 + strength * parameters.W1, W2=gradients.W2 + strength * parameters.W2
    )


def sgd(
    parameters: Parameters, gradients: Parameters, state: State, learning_rate: float, epoch: int
) -> tuple[Parameters, State]:
    """The article's step: theta <- theta - alpha * gradient."""
    steps = zip(parameters, gradients, strict=True)
    return Parameters(*(theta - learning_rate * g for theta, g in steps)), state


def momentum(
    parameters: Parameters, gradients: Parameters, state: State, learning_rate: float, epoch: int
) -> tuple[Parameters, State]:
    """V <- 0.9 v + gradient, theta <- theta - alpha v (Polyak 1964, in PyTorch's form)."""
    velocity = state.get("velocity", _zeros(parameters))
    velocity = Parameters(*(MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)))
    parameters, _ = sgd(parameters, velocity, {}, learning_rate, epoch)
    return parameters, {"velocity": velocity}


def adam(
    parameters: Parameters, gradients: Parameters, state: State, learning_rate: float, epoch: int
) -> tuple[Parameters, State]:
    """Adam with its authors' constants (Kingma and Ba 2015, Algorithm 1); `epoch`, from 1, is t."""
    m, v = state.get("m", _zeros(parameters)), state.get("v", _zeros(parameters))
    m = Parameters(*(BETA1 * a + (1 - BETA1) * g for a, g in zip(m, gradients, strict=True)))
    v = Parameters(*(BETA2 * a + (1 - BETA2) * g * g for a, g in zip(v, gradients, strict=True)))
    m_scale, v_scale = 1 / (1 - BETA1**epoch), 1 / (1 - BETA2**epoch)
    direction = Parameters(
        *(m_scale * a / (np.sqrt(v_scale * b) + EPSILON) for a, b in zip(m, v, strict=True))
    )
    parameters, _ = sgd(parameters, direction, {}, learning_rate, epoch)
    return parameters, {"m": m, "v": v}


OPTIMIZERS = {"sgd": sgd, "momentum": momentum, "adam": adam}


def bold_driver(learning_rate: float, costs: list[float]) -> float:
    """The rate after epochs of these costs: 5% more where the cost fell, half where it rose."""
    for before, after in itertools.pairwise(costs):
        learning_rate *= 1.05 if after < before else 0.5 if after > before else 1
    return learning_rate


def _zeros(parameters: Parameters) -> Parameters:
    return Parameters(*map(np.zeros_like, parameters))
