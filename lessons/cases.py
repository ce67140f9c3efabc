"""The cases that checks.py calls a learner's function on: true values by their names.

Each function takes the names of the learner's notebook, whose W1, B1, W2, B2 some cases need.
"""

from types import SimpleNamespace as Values

import numpy as np

from network.layers import Conv, Dense, Relu
from nn_math import (
    Parameters,
    affine,
    bias_gradient,
    count_outcomes,
    hidden_delta,
    output_error,
    precision_recall_f1,
    random_stream,
    sigmoid,
    sigmoid_prime,
    weight_gradient,
)

SUMS = "E dB2 dW2 dB1 dW1 Acc n"


def chain(p: Parameters, x: np.ndarray, y: np.ndarray) -> Values:
    """All values of the eight maps for n images x (n, 784); dB2, dW2, dB1, dW1 are sums over them.

    D2 and D1 are dB2 and dB1 before that sum, with a row for each image.
    """
    H_hat = affine(x, p.W1, p.B1)
    H = sigmoid(H_hat)
    Y_hat = affine(H, p.W2, p.B2)
    Y = sigmoid(Y_hat)
    E, D2, Acc = output_error(Y, y)
    D1 = hidden_delta(D2, p.W2, H_hat)
    v = Values(x=x, H_hat=H_hat, H=H, Y_hat=Y_hat, Y=Y, y=y, E=E, Acc=Acc, D2=D2, D1=D1)
    v.dB2, v.dW2, v.dB1, v.dW1 = (
        *(bias_gradient(D2), weight_gradient(H, D2)),
        *(bias_gradient(D1), weight_gradient(x, D1)),
    )
    v.W1, v.B1, v.W2, v.B2 = p
    v.X, v.n = x, len(x)
    v.pairs = [(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    v.sums = tuple(vars(v)[name] for name in SUMS.split())
    return v


def pixels(n: int) -> np.ndarray:
    """n images (n, 784) with ink on a fifth of the pixels."""
    rng = random_stream(n)
    return rng.random((n, 784)) * (rng.random((n, 784)) < 0.2)


def of_notebook(notebook: dict) -> Parameters:
    """W1, B1, W2, B2 of the learner's notebook. Raises KeyError."""
    return Parameters(*(np.asarray(notebook[name], float) for name in Parameters._fields))


def drawn() -> Parameters:
    """Parameters of the article's shapes."""
    rng = random_stream(5)
    shapes = (784, 64), (1, 64), (64, 2), (1, 2)
    return Parameters(*(rng.uniform(-0.5, 0.5, shape) for shape in shapes))


def images(notebook: dict) -> list[Values]:
    """Three images, of which the network takes the second for the other digit."""
    p, cases = of_notebook(notebook), []
    for row, is_right in zip(pixels(3), (True, False, True), strict=True):
        x = row.reshape(1, 784)
        best = int(chain(p, x, np.eye(2)[[0]]).Y.argmax())
        cases.append(chain(p, x, np.eye(2)[[best if is_right else 1 - best]]))
    return cases


def both_answers(notebook: dict) -> list[Values]:
    """The three images, then the same with the two outputs exchanged."""
    p = of_notebook(notebook)
    exchanged = p._replace(W2=p.W2[:, ::-1], B2=p.B2[:, ::-1])
    return images(notebook) + images(exchanged._asdict())


def partitions(notebook: dict) -> list[Values]:
    """Five images, and three."""
    return [chain(of_notebook(notebook), pixels(n), np.eye(2)[np.arange(n) % 2]) for n in (5, 3)]


def two_sums(_: dict) -> list[Values]:
    """Two tuples of sums, a over five and b over three images, and what they add up to."""
    a, b = (v.sums for v in partitions(drawn()._asdict()))
    total = {name: p + q for name, p, q in zip(SUMS.split(), a, b, strict=True)}
    return [Values(a=a, b=b, **total)]


def a_step(_: dict) -> list[Values]:
    """Five images, the parameters before the step (`parameters`), and after it (W1, B1, W2, B2)."""
    v = partitions(drawn()._asdict())[0]
    v.parameters, v.rate = drawn(), 0.5
    for name in Parameters._fields:
        vars(v)[name] = vars(v)[name] - v.rate * vars(v)[f"d{name}"] / v.n
    v.D1_of_new_W2 = hidden_delta(v.D2, v.W2, v.H_hat)
    return [v]


def raw_images(_: dict) -> list[Values]:
    """A zero and a one as they lie in the file."""
    rows = random_stream(6).integers(0, 256, (2, 784)).astype("uint8")
    return [
        Values(pixels=row, label=np.uint8(k), x=row.reshape(1, 784) / 255, y=np.eye(2)[[k]])
        for k, row in enumerate(rows)
    ]


def zero_or_not(_: dict) -> list[Values]:
    """The pair of a zero, and that of a one."""
    return [Values(x=pixels(1), y=np.eye(2)[[k]], answer=k == 0) for k in (0, 1)]


def numbers(_: dict) -> list[Values]:
    """z (1, 7), sigmoid's value and its slope there."""
    z = np.array([[-3.0, -1.5, -0.2, 0.1, 0.9, 2.0, 4.0]])
    return [Values(z=z, a=sigmoid(z), slope=sigmoid_prime(z))]


def curves(_: dict) -> list[Values]:
    """An error that depends on W (2, 3), and its slope by central differences, in two places."""

    def E_of(W: np.ndarray) -> float:
        return float((W[0] ** 3 - W[1] ** 3).sum())

    W, h, cases = np.arange(1.0, 7.0).reshape(2, 3), 0.25, []
    for i, j in ((0, 1), (1, 2)):
        slope = (3 * W[i, j] ** 2 + h * h) * (1, -1)[i]
        bump = h * np.eye(2)[:, [i]] * np.eye(3)[[j]]
        cases.append(Values(E_of=E_of, W=W, i=i, j=j, h=h, slope=slope, bump=bump))
    return cases


def layers(_: dict) -> list[Values]:
    """A dense layer and a relu with four images; a convolution of one picture (9, 9)."""
    rng = random_stream(8)
    v = Values(a=rng.normal(size=(4, 6)), W=rng.normal(size=(6, 3)), b=0.7)
    v.delta, v.H_hat = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    v.dW, v.dB = Dense(3).gradients(v.a, v.delta)
    v.before = Dense(3).input_delta(None, v.delta, (v.W, np.zeros((1, 3))))
    v.H = Relu().forward(v.H_hat, (), None)[1]
    v.after = Relu().input_delta(v.H_hat, v.delta, ())
    v.picture, v.window = rng.normal(size=(9, 9)), rng.normal(size=(3, 3))
    v.seen = convolved(v.picture, v.window, v.b)
    v.turned = convolved(v.picture, v.window[::-1, ::-1], v.b)
    return [v]


def convolved(picture: np.ndarray, window: np.ndarray, b: float) -> np.ndarray:
    """What a convolution of one filter gives for one picture."""
    parameters = window[None, None], np.array([[b]])
    return Conv(1, len(window)).forward(picture[:, None, :, None], parameters, None)[1][:, 0, :, 0]


def answers(_: dict) -> list[Values]:
    """Outputs Y of which one, both or none round to 1, and their counts."""
    outputs = [(0.9, 0.2, 0), (0.6, 0.7, 0), (0.1, 0.4, 0), (0.3, 0.8, 0), (0.4, 0.2, 1)]
    cases = [Values(Y=np.array([Y]), y=np.eye(2)[[k]]) for *Y, k in outputs]
    for v in cases:
        v.counts = count_outcomes(v.Y, v.y)
        v.by_largest = count_outcomes(np.eye(2)[[v.Y.argmax()]], v.y)
    return cases


def counts(_: dict) -> list[Values]:
    """TP, FP, FN, TN with their precision and recall."""
    precision, recall, _f1 = precision_recall_f1(90, 30, 10)
    return [Values(TP=90, FP=30, FN=10, TN=300, precision=precision, recall=recall)]


def drawings(_: dict) -> list[Values]:
    """A drawing with dark ink on white paper."""
    paper = random_stream(9).integers(0, 256, (28, 28)).astype("uint8")
    return [Values(paper=paper, x=(1 - paper / 255).reshape(1, 784))]


def leaning(notebook: dict) -> list[Values]:
    """Three images, each with a number to predict by one layer without activation."""
    W, B = np.asarray(notebook["W"], float), np.asarray(notebook["B"], float)
    cases = []
    for row, target in zip(pixels(3), (0.5, -0.3, 0.1), strict=True):
        x, y = row.reshape(1, 784), np.array([[target]])
        Y = affine(x, W, B)
        E = 0.5 * float(((Y - y) ** 2).sum())
        dW = weight_gradient(x, Y - y)
        cases.append(Values(x=x, y=y, W=W, B=B, Y=Y, E=E, dB=Y - y, dW=dW, n=1))
    return cases
