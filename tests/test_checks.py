"""The checks of the lessons: every mistake that they know, made as a learner makes it."""

import math

import numpy as np
import pytest
from checks import check
from diagnosis import split

from nn_math import initial_parameters

# What a notebook holds when its checks are called.
W1, B1, W2, B2 = initial_parameters(1, 64, 2)
W, B = W1[:, :1], B1[:, :1]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def rows(array):
    return array.sum(axis=0, keepdims=True)


def each(function):
    """The function of a tuple that calls `function` with the tuple's elements."""
    return lambda elements: function(*elements)


# ---- Right functions, written as the lessons ask for them.


def slope(E_of, W, i, j, h):
    up, down = W.copy(), W.copy()
    up[i, j] += h
    down[i, j] -= h
    return (E_of(up) - E_of(down)) / (2 * h)


def map_5(elements):
    x, H_hat, H, Y_hat, Y, y = elements
    E, Acc = 0.5 * np.sum((Y - y) ** 2), int(Y.argmax() == y.argmax())
    return x, H_hat, H, E, (Y - y) * sigmoid_prime(Y_hat), Acc


def map_7(elements):
    x, H_hat, E, dB2, dW2, Acc = elements
    return x, E, dB2, dW2, np.dot(dB2, W2.T) * sigmoid_prime(H_hat), Acc


def backward(X, y, W1, B1, W2, B2):
    """What maps 1 to 8 give for a block, by name."""
    H_hat = X @ W1 + B1
    H = sigmoid(H_hat)
    Y_hat = H @ W2 + B2
    Y = sigmoid(Y_hat)
    D2 = (Y - y) * sigmoid_prime(Y_hat)
    D1 = (D2 @ W2.T) * sigmoid_prime(H_hat)
    sums = {"dB2": rows(D2), "dW2": H.T @ D2, "dB1": rows(D1), "dW1": X.T @ D1, "n": len(X)}
    return sums | {"X": X, "y": y, "Y": Y, "D2": D2, "D1": D1, "H_hat": H_hat}


def block_of(pairs):
    """What maps 1 to 8 give for the pairs of a partition, by name."""
    images, labels = zip(*pairs, strict=True)
    known = backward(np.vstack(images), np.vstack(labels), W1, B1, W2, B2)
    Y, y = known["Y"], known["y"]
    right = (Y.argmax(axis=1) == y.argmax(axis=1)).sum()
    return known | {"E": 0.5 * ((Y - y) ** 2).sum(), "Acc": right}


def tuple_of(pairs):
    known = block_of(pairs)
    return tuple(known[name] for name in ("E", "dB2", "dW2", "dB1", "dW1", "Acc", "n"))


def step(parameters, sums, rate):
    W1, B1, W2, B2 = parameters
    E, dB2, dW2, dB1, dW1, Acc, n = sums
    W1, B1 = W1 - rate * dW1 / n, B1 - rate * dB1 / n
    return W1, B1, W2 - rate * dW2 / n, B2 - rate * dB2 / n


def learn(parameters, X, y, rate):
    known = backward(X, y, *parameters)
    sums = 0, known["dB2"], known["dW2"], known["dB1"], known["dW1"], 0, len(X)
    return step(parameters, sums, rate)


def convolve(picture, window, b):
    side, places = len(window), len(picture) - len(window) + 1
    seen = np.zeros((places, places))
    for i in range(places):
        for j in range(places):
            seen[i, j] = (picture[i : i + side, j : j + side] * window).sum() + b
    return seen


def outcomes(pair):
    Y, y = pair
    predicted, actual = np.rint(Y[0]) == 1, y[0] == 1
    both = predicted & actual, predicted & ~actual, ~predicted & actual, ~predicted & ~actual
    return np.array(both).T.astype(int)


def leaning(pair):
    x, y = pair
    dB = x @ W + B - y
    return 0.5 * (dB**2).sum(), dB, x.T @ dB, 1


RIGHT = {
    "to_pair": each(lambda p, label: (p.reshape(1, 784) / 255, np.eye(2)[[label]])),
    "is_zero": each(lambda x, y: y[0, 0] == 1),
    "sigmoid": sigmoid,
    "map_1": each(lambda x, y: (x, np.dot(x, W1) + B1, y)),
    "map_2": each(lambda x, H_hat, y: (x, H_hat, sigmoid(H_hat), y)),
    "map_3": each(lambda x, H_hat, H, y: [x, H_hat, H, H @ W2 + B2, y]),
    "map_4": each(lambda x, H_hat, H, Y_hat, y: (x, H_hat, H, Y_hat, sigmoid(Y_hat), y)),
    "slope": slope,
    "sigmoid_prime": sigmoid_prime,
    "map_5": map_5,
    "map_6": each(lambda x, H_hat, H, E, dB2, Acc: (x, H_hat, E, dB2, np.outer(H, dB2), Acc)),
    "map_7": map_7,
    "map_8": each(lambda x, E, dB2, dW2, dB1, Acc: (E, dB2, dW2, dB1, np.dot(x.T, dB1), Acc, 1)),
    "add": lambda a, b: tuple(p + q for p, q in zip(a, b, strict=True)),
    "step": step,
    "partition_sums": lambda pairs: iter([tuple_of(pairs)]),
    "learn": learn,
    "dense_backward": lambda a, W, delta: (a.T @ delta, rows(delta), delta @ W.T),
    "relu": lambda H_hat: np.maximum(H_hat, 0),
    "relu_backward": lambda H_hat, delta: np.where(H_hat > 0, delta, 0),
    "convolve": convolve,
    "outcomes": outcomes,
    "scores": lambda TP, FP, FN, TN: (TP / (TP + FP), TP / (TP + FN)),
    "to_row": lambda paper: (255 - paper).reshape(1, 784) / 255,
    "leaning": leaning,
}

# ---- Wrong functions, each with what the check should say about it.


def names_in(function):
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def but(name, **wrong):
    """The right function with some elements of its tuple wrong, computed from its arguments."""
    takes, gives = getattr(check, name).takes.split(), getattr(check, name).gives.split()

    def function(*arguments):
        elements = arguments if len(arguments) == len(takes) else arguments[0]
        known = dict(zip(takes, elements, strict=True))
        result = dict(zip(gives, RIGHT[name](*arguments), strict=True))
        for element, line in wrong.items():
            result[element] = line(*(known[argument] for argument in names_in(line)))
        return tuple(result.values())

    return function


def block_but(**wrong):
    """The right function of a partition with some sums wrong, computed from the block's values."""

    def function(pairs):
        known = block_of(pairs)
        for element, line in wrong.items():
            known[element] = line(*(known[argument] for argument in names_in(line)))
        yield tuple(known[name] for name in check.partition_sums.gives.split())

    return function


def step_but(place, line):
    """The right step, with the line of one parameter wrong."""

    def function(parameters, sums, rate):
        E, dB2, dW2, dB1, dW1, Acc, n = sums
        new = list(step(parameters, sums, rate))
        new[place] = line(parameters[place], (dW1, dB1, dW2, dB2)[place], rate, n, Acc)
        return tuple(new)

    return function


def learn_but(place, line):
    """The right `learn`, with the line of one parameter wrong."""

    def function(parameters, X, y, rate):
        known = backward(X, y, *parameters)
        new = list(learn(parameters, X, y, rate))
        gradient = known[("dW1", "dB1", "dW2", "dB2")[place]]
        right = (known["Y"].argmax(axis=1) == y.argmax(axis=1)).sum()
        new[place] = line(parameters[place], gradient, rate, len(X), right)
        return tuple(new)

    return function


LINES_OF_THE_STEP = [
    (lambda old, g, rate, n, Acc: old, "it is unchanged; return the new array"),
    (lambda old, g, rate, n, Acc: old + rate * g / n, "`+` goes uphill, to a larger error"),
    (lambda old, g, rate, n, Acc: old - rate * g, "/ n is missing"),
    (lambda old, g, rate, n, Acc: old - g / n, "the rate is missing"),
    (lambda old, g, rate, n, Acc: old - rate * g / Acc, "it divides by Acc"),
    (lambda old, g, rate, n, Acc: rate * g / n, "this is the change alone"),
]


def the_tuple_in_the_order_of_the_layers(parameters, sums, rate):
    W1, B1, W2, B2 = parameters
    E, dW1, dB1, dW2, dB2, Acc, n = sums
    return W1 - rate * dW1 / n, B1 - rate * dB1 / n, W2 - rate * dW2 / n, B2 - rate * dB2 / n


def biases_before_weights_from_the_front(parameters, sums, rate):
    W1, B1, W2, B2 = parameters
    E, dB1, dW1, dB2, dW2, Acc, n = sums
    return W1 - rate * dW1 / n, B1 - rate * dB1 / n, W2 - rate * dW2 / n, B2 - rate * dB2 / n


def new_W2_first(parameters, X, y, rate):
    W1, B1, W2, B2 = parameters
    known = backward(X, y, *parameters)
    W2 = W2 - rate * known["dW2"] / len(X)
    B2 = B2 - rate * known["dB2"] / len(X)
    D1 = (known["D2"] @ W2.T) * sigmoid_prime(known["H_hat"])
    W1 = W1 - rate * X.T @ D1 / len(X)
    return W1, B1 - rate * rows(D1) / len(X), W2, B2


def new_W2_for_B1(parameters, X, y, rate):
    W1, _, W2, B2 = learn(parameters, X, y, rate)
    return W1, new_W2_first(parameters, X, y, rate)[1], W2, B2


def rows_for_B1(parameters, X, y, rate):
    W1, _, W2, B2 = learn(parameters, X, y, rate)
    return W1, parameters[1] - rate * backward(X, y, *parameters)["D1"] / len(X), W2, B2


def rows_for_B2(parameters, X, y, rate):
    W1, B1, W2, _ = learn(parameters, X, y, rate)
    return W1, B1, W2, parameters[3] - rate * backward(X, y, *parameters)["D2"] / len(X)


def changes_W(E_of, W, i, j, h):
    W[i, j] += h
    above = E_of(W)
    W[i, j] -= 2 * h
    return (above - E_of(W)) / (2 * h)


def one_copy(E_of, W, i, j, h):
    up = down = W.copy()
    up[i, j] += h
    down[i, j] -= h
    return (E_of(up) - E_of(down)) / (2 * h)


def slope_by(line):
    """A slope from E above, in the middle and below, and from h."""

    def function(E_of, W, i, j, h):
        bump = np.zeros_like(W)
        bump[i, j] = h
        return line(E_of(W + bump), E_of(W), E_of(W - bump), h)

    return function


def convolve_by(places, line):
    """A convolution with so many places in a row, each of them line(part, window, b)."""

    def function(picture, window, b):
        wide, seen = np.pad(picture, 9), np.zeros((places, places))
        for i in range(places):
            for j in range(places):
                seen[i, j] = line(wide[9 + i : 12 + i, 9 + j : 12 + j], window, b)
        return seen

    return function


def only_inside(picture, window, b):
    seen = np.zeros(picture.shape)
    seen[:7, :7] = convolve(picture, window, b)
    return seen


def adds_in_place(a, b):
    for mine, other in zip(a, b, strict=True):
        mine += other
    return a


def scales_in_place(element):
    x, H_hat, H, Y_hat, Y, y = element
    Y -= y
    return x, H_hat, H, 0.5 * (Y**2).sum(), Y * sigmoid_prime(Y_hat), 1


def one_tuple_an_image(pairs):
    return [tuple_of([pair]) for pair in pairs]


def returns_the_tuple(pairs):
    return tuple_of(pairs)


def nothing(*arguments):
    """An exercise that is not solved yet."""


def dots(elements):
    x, y = elements
    H_hat = ...
    return x, H_hat, y


def forgets_to_transpose(pair):
    x, y = pair
    dB = x @ W + B - y
    dW = x @ dB
    return 0.5 * (dB**2).sum(), dB, dW, 1


def outcomes_of(predict):
    """Counts with another way to say which digits are predicted."""
    return lambda pair: outcomes((predict(pair[0]), pair[1]))


WRONG = {
    "to_pair": [
        (but("to_pair", x=lambda pixels: pixels.reshape(1, 784)), "x: the pixels are not divided"),
        (but("to_pair", x=lambda pixels: pixels / 255), "x: it is not a row yet; write reshape"),
        (but("to_pair", x=lambda pixels: pixels[None] // 255), "x: `//` leaves whole numbers"),
        (but("to_pair", y=lambda label: label), "y: it is an integer; a one-hot row belongs here"),
        (but("to_pair", y=lambda label: np.eye(2)[label]), "y: it is not a row yet; np.eye(2)[["),
        (but("to_pair", y=lambda label: np.eye(2)[[int(label == 0)]]), "y: the 1 is in the wrong"),
        (
            but("to_pair", y=lambda label: [[1, 0], [0, 1]][label : label + 1]),
            "y: it should be an arr",
        ),
        (
            but("to_pair", y=lambda label: np.eye(2)[[0]]),
            "y: wrong values, for example 1; expected: 0",
        ),
        (lambda t: RIGHT["to_pair"](t)[::-1], "the order is wrong: (y, x); return (x, y)"),
        (lambda t: RIGHT["to_pair"](t)[0], "it returns an array (1, 784); return"),
        (lambda t: RIGHT["to_pair"](t)[1:], "the tuple lacks x"),
    ],
    "is_zero": [
        (each(lambda x, y: y[0, 1] == 1), "it is true for a one"),
        (each(lambda x, y: y.argmax()), "it is true for a one"),
        (each(lambda x, y: y == 1), "it gives two answers"),
        (each(lambda x, y: y[0] == 1), "it gives two answers"),
        (each(lambda x, y: y == [1, 0]), "it gives two answers"),
        (each(lambda x, y: True if y == 1 else False), "a comparison with an array has many"),
        (each(lambda x, y: y[0, 0] > 1), "it is never true"),
        (each(lambda x, y: y.sum() == 1), "it is always true"),
        (each(lambda x, y: True if y[0, 0] == 1 else None), "and is nothing (None)"),
        (nothing, "it returns nothing yet"),
    ],
    "sigmoid": [
        (lambda z: 1 / 1 + np.exp(-z), "put brackets around the divisor"),
        (lambda z: 1 / (1 + math.exp(-z)), "math.exp takes one number"),
        (lambda z: 1 / (1 + np.exp(z)), "it falls where z grows"),
        (lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2, "this is the slope of sigmoid"),
        (lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1), "this is tanh"),
        (lambda z: z * (z > 0), "this is relu"),
        (lambda z: z > 0, "it is rounded"),
        (lambda: 1, "the function should take z. TypeError"),
        (lambda z: 0.9 * sigmoid(z), "wrong values, for example 0.8838; expected: 0.982"),
    ],
    "map_1": [
        (each(lambda x, y: (x, x @ W2, y)), "H_hat: W2 leads out of the hidden layer"),
        (each(lambda x, y: (x, np.dot(x, W2), y)), "H_hat: W2 leads out of the hidden layer"),
        (each(lambda x, y: (x, x @ W1, y)), "H_hat: + B1 is missing"),
        (each(lambda x, y: (x, x @ W1 @ B1, y)), "H_hat: write + before B1, not @"),
        (each(lambda x, y: (x, x @ W1 - B1, y)), "H_hat: B1 is subtracted"),
        (each(lambda x, y: (x, sigmoid(x @ W1 + B1), y)), "H_hat: remove sigmoid"),
        (each(lambda x, y: (x, W1.T @ x.T + B1.T, y)), "H_hat: this is a column"),
        (each(lambda x, y: (x, x * W1 + B1, y)), "H_hat: `*` multiplies element by element"),
        (each(lambda x, y: (x, x @ W1.T + B1, y)), "H_hat: W1 is transposed; write x @ W1"),
        (each(lambda x, y: (x, W1 @ x + B1, y)), "H_hat: the factors are in the wrong order"),
        (each(lambda x, y: x @ W1 + B1), "it returns an array (1, 64); return the"),
        (each(lambda x, y: (x @ W1 + B1, y)), "the tuple lacks x, which map 8 needs"),
        (
            each(lambda x, y: (x, y, x @ W1 + B1)),
            "the order is wrong: (x, y, H_hat); return (x, H_hat, y",
        ),
        (dots, "H_hat: it is still `...`"),
        (lambda x, y: (x, x @ W1 + B1, y), "should take one argument, the tuple (x, y). TypeError"),
        (nothing, "it returns nothing yet"),
    ],
    "map_2": [
        (each(lambda x, z, y: (x, z, sigmoid(-z), y)), "H: it falls where H_hat grows"),
        (each(lambda x, z, y: (x, z, sigmoid_prime(z), y)), "H: this is the slope of sigmoid"),
        (each(lambda x, z, y: (x, z, np.tanh(z), y)), "H: this is tanh"),
        (each(lambda x, z, y: (x, z, np.maximum(z, 0), y)), "H: this is relu"),
        (each(lambda x, z, y: (x, z, sigmoid(z).round(), y)), "H: it is rounded"),
        (each(lambda x, z, y: (x, sigmoid(z), y)), "the tuple lacks H_hat, which map 7 needs"),
        (each(lambda x, z, y: (x, sigmoid(z), sigmoid(z), y)), "H_hat: in its place you return H"),
        (each(lambda x, z, y: (x, sigmoid(z), z, y)), "the order is wrong: (x, H, H_hat, y)"),
        (each(lambda x, z, y: (p for p in (x, z, sigmoid(z), y))), "it returns a generator"),
    ],
    "map_3": [
        (but("map_3", Y_hat=lambda H_hat: H_hat @ W2 + B2), "Y_hat: it takes H_hat"),
        (but("map_3", Y_hat=lambda H: H @ W1 + B1), "Y_hat: W1 leads into the hidden layer"),
        (but("map_3", Y_hat=lambda x: x @ W2 + B2), "Y_hat: the output layer sees H, not x"),
        (but("map_3", Y_hat=lambda H: H @ W2), "Y_hat: + B2 is missing"),
        (but("map_3", Y_hat=lambda H: H @ W2 @ B2), "Y_hat: write + before B2, not @"),
        (but("map_3", Y_hat=lambda H: H @ W2 - B2), "Y_hat: B2 is subtracted"),
        (but("map_3", Y_hat=lambda H: sigmoid(H @ W2 + B2)), "Y_hat: remove sigmoid"),
        (but("map_3", Y_hat=lambda H: W2.T @ H.T + B2.T), "Y_hat: this is a column"),
        (but("map_3", Y_hat=lambda H: H * W2 + B2), "Y_hat: `*` multiplies element by element"),
        (but("map_3", Y_hat=lambda H: H @ W2.T + B2), "Y_hat: W2 is transposed"),
        (but("map_3", Y_hat=lambda H: np.dot(W2, H) + B2), "Y_hat: the factors are in the wrong"),
        (lambda t: RIGHT["map_3"](t)[1:], "the tuple lacks x, which map 8 needs"),
        (lambda t: RIGHT["map_3"](t)[2:], "the tuple lacks x, which map 8 needs and H_hat, which"),
    ],
    "map_4": [
        (but("map_4", Y=lambda H: sigmoid(H)), "Y: it takes H; take Y_hat (it should be"),
        (but("map_4", Y=lambda Y_hat: np.exp(Y_hat) / np.exp(Y_hat).sum()), "Y: this is softmax"),
        (but("map_4", Y=lambda Y_hat: Y_hat.argmax()), "Y: it should be an array (1, 2), and is a"),
        (but("map_4", Y=lambda Y_hat: sigmoid(-Y_hat)), "Y: it falls where Y_hat grows"),
        (but("map_4", Y=lambda Y_hat: sigmoid_prime(Y_hat)), "Y: this is the slope of sigmoid"),
        (but("map_4", Y=lambda Y_hat: np.tanh(Y_hat)), "Y: this is tanh"),
        (but("map_4", Y=lambda Y_hat: np.maximum(Y_hat, 0)), "Y: this is relu"),
        (but("map_4", Y=lambda Y_hat: np.rint(sigmoid(Y_hat))), "Y: it is rounded"),
        (
            each(lambda x, H_hat, H, Y_hat, y: (x, H_hat, H, sigmoid(Y_hat), y)),
            "lacks Y_hat",
        ),
        (lambda t: (*RIGHT["map_4"](t), t[4]), "remove an element; return only (x, H_hat"),
    ],
    "slope": [
        (slope_by(lambda up, here, down, h: (up - here) / h), "it looks to one side only"),
        (slope_by(lambda up, here, down, h: (here - down) / h), "it looks to one side only"),
        (slope_by(lambda up, here, down, h: (up - down) / h), "up and down are 2 * h apart"),
        (slope_by(lambda up, here, down, h: (up - down) / 2 * h), "put brackets"),
        (slope_by(lambda up, here, down, h: up - down), "it is not divided by 2 * h"),
        (slope_by(lambda up, here, down, h: (down - up) / (2 * h)), "the sign is wrong"),
        (slope_by(lambda up, here, down, h: abs(up - down) / (2 * h)), "wrong values, for example"),
        (one_copy, "it is 0; make two copies"),
        (lambda f, W, i, j, h: (f(W + h) - f(W - h)) / (2 * h), "all of W is moved"),
        (changes_W, "it changes its argument W, as += and -= do; make a new array"),
    ],
    "sigmoid_prime": [
        (lambda z: z * (1 - z), "it takes z itself"),
        (lambda z: sigmoid(z), "this is sigmoid; its slope"),
        (lambda z: 1 - sigmoid(z), "the factor s is missing"),
        (lambda z: sigmoid(z) * (1 + sigmoid(z)), "the sign is wrong"),
        (lambda z: sigmoid(z) * (sigmoid(z) - 1), "the sign is wrong"),
        (lambda z: sigmoid_prime(sigmoid(z)), "it takes sigmoid twice"),
    ],
    "map_5": [
        (but("map_5", E=lambda Y, y: np.sum((Y - y) ** 2)), "E: the factor 1/2 is missing"),
        (but("map_5", E=lambda Y, y: 0.5 * (Y - y) ** 2), "E: the sum over the outputs is missing"),
        (but("map_5", E=lambda Y, y: 0.5 * np.mean((Y - y) ** 2)), "E: it is half of E"),
        (but("map_5", E=lambda Y, y: np.sum((0.5 * (Y - y)) ** 2)), "E: it is half of E"),
        (but("map_5", E=lambda Y_hat, y: 0.5 * np.sum((Y_hat - y) ** 2)), "E: it takes Y_hat"),
        (but("map_5", E=lambda Y, y: 0.5 * np.sum(abs(Y - y))), "E: the square is missing"),
        (
            but("map_5", dB2=lambda Y_hat, Y, y: Y - y * sigmoid_prime(Y_hat)),
            "dB2: put brackets around Y - y",
        ),
        (but("map_5", dB2=lambda Y, y: Y - y), "dB2: the factor sigmoid_prime(Y_hat) is missing"),
        (
            but("map_5", dB2=lambda Y, y: (Y - y) * sigmoid_prime(Y)),
            "dB2: it takes sigmoid_prime of Y; take Y_hat",
        ),
        (but("map_5", dB2=lambda Y, y: (Y - y) * Y), "dB2: it takes sigmoid of Y_hat"),
        (
            but("map_5", dB2=lambda Y_hat, Y, y: (y - Y) * sigmoid_prime(Y_hat)),
            "dB2: the sign is wrong; it is Y - y",
        ),
        (but("map_5", dB2=lambda Y_hat: sigmoid_prime(Y_hat)), "dB2: the factor Y - y is missing"),
        (but("map_5", dB2=lambda Y, y: (Y - y) @ Y), "dB2: `@` is the matrix product"),
        (but("map_5", Acc=lambda Y, y: Y.argmax() == y.argmax()), "Acc: NumPy adds True and True"),
        (but("map_5", Acc=lambda Y, y: int(Y.argmax() != y.argmax())), "Acc: it is 1 where the"),
        (but("map_5", Acc=lambda Y: Y.argmax()), "Acc: this is the answer itself"),
        (but("map_5", Acc=lambda y: y.argmax()), "Acc: this is the right answer; compare it"),
        (but("map_5", Acc=lambda x: 1), "Acc: it is always 1"),
        (but("map_5", Acc=lambda Y, y: Y.argmax() == y), "Acc: it compares a number with a row"),
        (scales_in_place, "it changes its argument Y, as += and -= do; make a new array"),
        (lambda t: (*map_5(t)[:2], *map_5(t)[3:]), "the tuple lacks H, which map 6 needs"),
        (
            lambda t: (*map_5(t)[:3], t[3], *map_5(t)[3:]),
            "remove Y_hat; return only (x, H_hat",
        ),
    ],
    "map_6": [
        (but("map_6", dW2=lambda H_hat, dB2: H_hat.T @ dB2), "dW2: it takes H_hat"),
        (but("map_6", dW2=lambda x, dB2: x.T @ dB2), "dW2: it takes x"),
        (
            but("map_6", dW2=lambda H, dB2: dB2.T @ H),
            "dW2: the product is the other way round; write H.T @ dB2 (it should be an "
            "array (64, 2), and is an array (2, 64))",
        ),
        (but("map_6", dW2=lambda H, dB2: H @ dB2.T), "dW2: the wrong factor is transposed"),
        (but("map_6", dW2=lambda H, dB2: np.dot(H, dB2.T)), "dW2: the wrong factor is transposed"),
        (but("map_6", dW2=lambda H, dB2: H @ dB2), "dW2: H is not transposed"),
        (but("map_6", dW2=lambda H, dB2: H * dB2), "dW2: `*` multiplies element by element"),
        (lambda t: (t[0], *RIGHT["map_6"](t)[2:]), "the tuple lacks H_hat, which map 7 needs"),
        (
            lambda t: (*t[:5], *RIGHT["map_6"](t)[4:]),
            "remove H; return only (x, H_hat, E, dB2",
        ),
    ],
    "map_7": [
        (but("map_7", dB1=lambda dB2: dB2 @ W2.T), "dB1: the factor sigmoid_prime(H_hat) is miss"),
        (
            but("map_7", dB1=lambda H_hat, dB2: (dB2 @ W2.T) * sigmoid_prime(sigmoid(H_hat))),
            "dB1: it takes sigmoid_prime of H; take H_hat",
        ),
        (
            but("map_7", dB1=lambda H_hat, dB2: (dB2 @ W2.T) * sigmoid(H_hat)),
            "dB1: it takes sigmoid of H_hat; take sigmoid_prime",
        ),
        (
            but("map_7", dB1=lambda H_hat, dB2, dW2: (dB2 @ dW2.T) * sigmoid_prime(H_hat)),
            "dB1: it takes dW2; take W2",
        ),
        (but("map_7", dB1=lambda dB2: dB2 @ W2), "dB1: W2 is not transposed"),
        (but("map_7", dB1=lambda dB2: W2 @ dB2), "dB1: the factors are in the wrong order"),
        (
            but("map_7", dB1=lambda H_hat, dB2: (W2 @ dB2.T) * sigmoid_prime(H_hat)),
            "dB1: W2 @ dB2.T is a column",
        ),
        (lambda t: map_7(t)[1:], "the tuple lacks x, which map 8 needs"),
    ],
    "map_8": [
        (but("map_8", dW1=lambda x, dB2: x.T @ dB2), "dW1: it takes dB2"),
        (but("map_8", dW1=lambda x, dB1: dB1.T @ x), "dW1: the product is the other way round"),
        (but("map_8", dW1=lambda x, dB1: x @ dB1.T), "dW1: the wrong factor is transposed"),
        (but("map_8", dW1=lambda x, dB1: x @ dB1), "dW1: x is not transposed"),
        (but("map_8", dW1=lambda x, dB1: x * dB1), "dW1: `*` multiplies element by element"),
        (but("map_8", dW1=lambda x, dB1: -x.T @ dB1), "dW1: wrong values, for example 0.0"),
        (but("map_8", n=lambda x: x.size), "n: it counts pixels"),
        (but("map_8", n=lambda x: 0), "n: this is 1 image"),
        (lambda t: RIGHT["map_8"](t)[:-1], "the tuple lacks n, which the rest needs"),
        (lambda t: (t[0], *RIGHT["map_8"](t)), "remove x; return only (E, dB2"),
    ],
    "add": [
        (lambda a, b: a + b, "`+` puts one tuple after the other"),
        (lambda a, b: a, "it returns a; b is not added"),
        (lambda a, b: b, "it returns b; a is not added"),
        (lambda a, b: tuple((p + q) / 2 for p, q in zip(a, b)), "E: it is the mean"),  # noqa: B905
        (lambda a, b: (a[0] + b[0], (a[1] + b[1]) / 2, *but_first(a, b, 2)), "dB2: it is the mean"),
        (lambda a, b: (*but_last(a, b), a[6] + 1), "n: b may be a sum of many images already"),
        (lambda a, b: (*but_last(a, b), a[6]), "n: this is n of a alone"),
        (lambda a, b: (*but_last(a, b), 1 + 1), "n: a and b may be sums of many images already"),
        (lambda a, b: (p + q for p, q in zip(a, b, strict=True)), "it returns a generator"),
        (lambda a, b: but_last(a, b), "the tuple lacks n"),
        (adds_in_place, "it changes its argument a"),
    ],
    "step": [
        *((step_but(place, line), said) for place in range(4) for line, said in LINES_OF_THE_STEP),
        (the_tuple_in_the_order_of_the_layers, "the sums begin with the last layer"),
        (biases_before_weights_from_the_front, "the sums begin with the last layer"),
        (
            lambda parameters, sums, rate: step(parameters, sums, rate)[::-1],
            "the order is wrong: (B2, W2",
        ),
    ],
    "partition_sums": [
        (returns_the_tuple, "`return` gives Spark seven elements"),
        (one_tuple_an_image, "elements; return 7, (E, dB2, dW2"),
        (block_but(dB2=lambda D2: D2), "dB2: it has a row for each image"),
        (block_but(dB2=lambda D2: D2.sum(axis=0)), "dB2: it is not a row any more"),
        (block_but(dB2=lambda D2: D2.sum()), "dB2: it is one number"),
        (block_but(dB2=lambda D2: D2.mean(axis=0, keepdims=True)), "dB2: it is the mean"),
        (block_but(dB1=lambda D1: D1), "dB1: it has a row for each image"),
        (block_but(dB1=lambda D1: D1.sum(axis=0)), "dB1: it is not a row any more"),
        (block_but(dB1=lambda D1: D1.sum()), "dB1: it is one number"),
        (block_but(dB1=lambda D1: D1.mean(axis=0, keepdims=True)), "dB1: it is the mean"),
        (block_but(dW1=lambda dW1, n: dW1 / n), "dW1: it is the mean"),
        (block_but(dW2=lambda dW2, n: dW2 / n), "dW2: it is the mean"),
        (block_but(E=lambda E, n: E / n), "E: it is the mean"),
        (block_but(Acc=lambda Y, y: Y.argmax() == y.argmax()), "Acc: it looks at all rows at once"),
        (block_but(Acc=lambda Acc, n: Acc / n), "Acc: it is the mean"),
        (block_but(n=lambda X: 1), "n: a block has many images"),
        (block_but(n=lambda X: X.size), "n: it counts pixels"),
        (nothing, "it returns nothing yet"),
    ],
    "learn": [
        (new_W2_first, "W1: D1 was computed with the new W2"),
        (new_W2_for_B1, "B1: D1 was computed with the new W2"),
        (rows_for_B1, "B1: D1 has a row for each image"),
        (rows_for_B2, "B2: D2 has a row for each image"),
        *((learn_but(place, line), said) for place in range(4) for line, said in LINES_OF_THE_STEP),
    ],
    "dense_backward": [
        (but("dense_backward", dW=lambda a, delta: delta.T @ a), "dW: the product is the other"),
        (but("dense_backward", dW=lambda a, delta: a @ delta.T), "dW: the wrong factor is trans"),
        (but("dense_backward", dW=lambda a, delta: a @ delta), "dW: a is not transposed"),
        (but("dense_backward", dW=lambda a, delta: a * delta), "dW: `*` multiplies element by"),
        (but("dense_backward", dW=lambda a, delta: a.T @ delta / len(a)), "dW: it is the mean"),
        (but("dense_backward", dB=lambda delta: delta), "dB: it has a row for each image"),
        (but("dense_backward", dB=lambda delta: delta.sum(axis=0)), "dB: it is not a row any more"),
        (but("dense_backward", dB=lambda delta: delta.sum()), "dB: it is one number"),
        (but("dense_backward", dB=lambda delta: rows(delta) / len(delta)), "dB: it is the mean"),
        (but("dense_backward", before=lambda W, delta: delta @ W), "before: W is not transposed"),
        (but("dense_backward", before=lambda W, delta: W @ delta.T), "before: it has a column for"),
        (
            but("dense_backward", before=lambda a, W, delta: delta @ (a.T @ delta).T),
            "before: it takes dW",
        ),
        (
            but("dense_backward", before=lambda a, W, delta: delta @ W.T * sigmoid_prime(a)),
            "before: a dense layer has no activation",
        ),
        (
            lambda a, W, delta: (rows(delta), a.T @ delta, delta @ W.T),
            "the order is wrong: (dB, dW, bef",
        ),
    ],
    "relu": [
        (lambda z: abs(z), "this is the absolute value"),
        (lambda z: z * (z < 0), "it keeps the numbers below 0"),
        (lambda z: np.where(z > 0, 1, 0), "it is only 0 or 1"),
        (lambda H_hat: np.max(H_hat, 0), "np.max looks for the largest of a column"),
        (lambda H_hat: max(H_hat, 0), "H: max compares single numbers"),
        (lambda z: sigmoid(z), "this is sigmoid"),
    ],
    "relu_backward": [
        (lambda H_hat, delta: H_hat > 0, "this is the slope of relu alone"),
        (lambda H_hat, delta: delta * np.maximum(H_hat, 0), "it multiplies by relu itself"),
        (lambda H_hat, delta: np.maximum(delta, 0), "it asks where delta > 0"),
        (lambda H_hat, delta: delta * (H_hat <= 0), "it keeps the other half"),
        (lambda H_hat, delta: delta * sigmoid_prime(H_hat), "this is sigmoid's slope"),
    ],
    "convolve": [
        (lambda picture, window, b: np.zeros((7, 7)), "it is all 0; set each seen[i, j]"),
        (convolve_by(7, lambda part, window, b: (part * window).sum()), "+ b is missing"),
        (lambda picture, window, b: convolve(picture.T, window.T, b), "rows and columns are"),
        (convolve_by(6, lambda p, w, b: (p * w).sum() + b), "the last windows are missing"),
        (only_inside, "the window goes beyond the edge"),
        (convolve_by(7, lambda p, w, b: (p * w[::-1, ::-1]).sum() + b), "the window is turn"),
        (
            convolve_by(7, lambda p, w, b: (p * w).mean() + b),
            "it is the mean of the",
        ),
    ],
    "outcomes": [
        (outcomes_of(lambda Y: 1 * (Y == Y.max())), "it takes the largest output"),
        (lambda pair: outcomes(pair)[:, [0, 2, 1, 3]], "FP and FN are exchanged"),
        (outcomes_of(lambda Y: 1 - Y), "predicted and not predicted are exchanged"),
        (lambda pair: outcomes(pair).T, "return a row for each digit"),
        (lambda pair: outcomes(pair)[:, :3], "TN is missing"),
        (lambda pair: outcomes(pair).tolist(), "it should be an array (2, 4), and is a list"),
        (lambda pair: outcomes(pair)[0], "it counts for the digit 0 only"),
    ],
    "scores": [
        (
            but("scores", precision=lambda TP, FP, FN, TN: (TP + TN) / (TP + FP + FN + TN)),
            "precision: this is accuracy",
        ),
        (
            but("scores", precision=lambda TP, FP: TP / FP),
            "precision: divide by all images predicted",
        ),
        (but("scores", precision=lambda TP, FP: TP // (TP + FP)), "precision: `//` leaves whole"),
        (but("scores", precision=lambda TP, FP: TP / TP + FP), "precision: put brackets"),
        (but("scores", recall=lambda TN, FP: TN / (TN + FP)), "recall: this is specificity"),
        (but("scores", recall=lambda TP, FN: TP / TP + FN), "recall: put brackets"),
        (
            but("scores", recall=lambda TP, FN: TP / FN),
            "recall: divide by all images of this digit",
        ),
        (
            lambda TP, FP, FN, TN: (TP / (TP + FN), TP / (TP + FP)),
            "the order is wrong: (recall, precision",
        ),
    ],
    "to_row": [
        (lambda paper: paper.reshape(1, 784) / 255, "ink is near 1 in MNIST"),
        (lambda paper: 255 - paper.reshape(1, 784), "it is not divided by 255"),
        (lambda paper: 1 - paper / 255, "it is not a row yet; write reshape(1, 784) too"),
        (lambda paper: 1 - paper.ravel() / 255, "it is not a row yet; write reshape(1, 784)"),
        (lambda paper: (1 - paper).reshape(1, 784) / 255, "white is 255 here"),
    ],
    "leaning": [
        (but("leaning", E=lambda x, y: ((x @ W + B - y) ** 2).sum()), "E: the factor 1/2 is miss"),
        (
            but("leaning", dB=lambda x, y: (x @ W + B - y) * sigmoid_prime(x @ W + B)),
            "dB: there is no sigmoid here, so there is no slope",
        ),
        (but("leaning", dB=lambda x, y: sigmoid(x @ W + B) - y), "dB: there is no sigmoid here; Y"),
        (but("leaning", dB=lambda x, y: y - (x @ W + B)), "dB: the sign is wrong"),
        (
            but("leaning", dW=lambda x, y: dB_of(x, y).T @ x),
            "dW: it is a row; x.T @ dB is a",
        ),
        (but("leaning", dW=lambda x, y: x * dB_of(x, y)), "dW: it is a row; x.T @ dB is a"),
        (forgets_to_transpose, "dW: x is not transposed"),
        (but("leaning", n=lambda x: x.size), "n: it counts pixels"),
    ],
}


def but_last(a, b):
    return RIGHT["add"](a, b)[:-1]


def but_first(a, b, count):
    return RIGHT["add"](a, b)[count:]


def dB_of(x, y):
    return x @ W + B - y


ALL_WRONG = [(name, *row) for name, several in WRONG.items() for row in several]


@pytest.mark.parametrize("name", vars(check))
def test_a_right_function_is_right(name, capsys):
    getattr(check, name)(RIGHT[name])
    assert capsys.readouterr().out == "right\n"


@pytest.mark.parametrize(("name", "wrong", "said"), ALL_WRONG)
def test_a_mistake_is_named(name, wrong, said):
    answer = getattr(check, name).answer(wrong)
    assert said in answer


@pytest.mark.parametrize("name", vars(check))
def test_every_mistake_that_a_check_knows_is_made_here(name):
    answers = "\n".join(getattr(check, name).answer(wrong) for wrong, _ in WRONG[name])
    known = getattr(check, name).mistakes
    assert len(known) >= 4
    for mistake, sentence in known.items():
        element, _ = split(mistake)
        prefix = f"{element}: " if " " in getattr(check, name).gives and element != "return" else ""
        assert prefix + sentence in answers, mistake


def test_a_partition_may_yield_a_list():
    assert check.partition_sums.answer(lambda pairs: iter([list(tuple_of(pairs))])) == "right"


def test_an_exception_is_shown_with_the_line_of_the_learner_and_the_shapes():
    def map_1(pair):
        x, y = pair
        H_hat = W1 @ x + B1  # the third line
        return x, H_hat, y

    told = check.map_1.answer(map_1).splitlines()
    line = map_1.__code__.co_firstlineno + 2
    assert told[0] == "H_hat: the factors are in the wrong order; write x @ W1"
    assert told[1].startswith(f"line {line}, `H_hat = W1 @ x + B1  # the third line`, raises Value")
    assert told[2:] == [
        "shapes that belong here: x (1, 784), H_hat (1, 64), W1 (784, 64), B1 (1, 64)"
    ]


def test_an_exception_that_no_mistake_explains_is_shown_alone():
    def map_2(element):
        x, H_hat, y = element
        return x, H_hat, sigmoid(H_hut), y  # noqa: F821

    told = check.map_2.answer(map_2)
    assert "`return x, H_hat, sigmoid(H_hut), y" in told
    assert "raises NameError: name 'H_hut' is not defined" in told
    assert "Traceback" not in told and "diagnosis" not in told


def test_a_helper_of_the_learner_is_where_the_line_is():
    def squash(z):
        return 1 / (1 + math.exp(-z))

    assert "`return 1 / (1 + math.exp(-z))`" in check.sigmoid.answer(lambda z: squash(z))


def test_the_result_instead_of_the_function_is_named():
    said = "give the function itself: its name, without brackets after it"
    assert check.sigmoid.answer(sigmoid(np.zeros(3))) == said
    assert check.sigmoid.answer(np.tanh) == said


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "there is no W1 in the notebook yet; run the cells above first"),
        ({"W1": W1, "B1": B1, "W2": W1, "B2": B2}, "W1, B1, W2 or B2 has a wrong shape"),
        ({"W1": None, "B1": B1, "W2": W2, "B2": B2}, "W1, B1, W2 or B2 has a wrong shape"),
    ],
)
def test_a_notebook_without_the_parameters_is_told_so(parameters, said):
    exec("def map_1(pair):\n    return pair", parameters)
    assert said in check.map_1.answer(parameters["map_1"])


def test_rounding_is_no_mistake():
    small = tuple(array.astype("float32") for array in (W1, B1))
    map_1 = each(lambda x, y: (x, x.astype("float32") @ small[0] + small[1], y))
    assert check.map_1.answer(map_1) == "right"
