"""When an answer is unsure: limits from training images, saved with the model as doubt.npz.

An answer is unsure if its output is lower, or its runner-up closer, than for almost all training
images that the network answers right. It is also unsure if the image is unlike the training images
of the answered class, by the Mahalanobis distance D (K. Lee, K. Lee, H. Lee and J. Shin, "A simple
unified framework for detecting out-of-distribution samples and adversarial attacks", 2018):

    D^2 = (v - m_c) C_c^-1 (v - m_c)^T,     v = f A

f (1, 144) is the image at half its size, divided by its length. The columns of A (144, d) are the
principal axes of f. Class c has the mean m_c (1, d) and the covariance C_c (d, d). The paper uses
the values of a hidden layer, and one covariance for all classes. With L_c L_c^T = C_c^-1, D is the
length of (v - m_c) L_c. The limits come from images that the means and covariances did not use.
"""

import hashlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from images.blocks import scaled
from network.layers import Arrays, Shape
from network.sequential import Network, outputs_of
from results import contents, model_files
from results.contents import Unusable
from runtime import storage

SAMPLE = 5000  # training images; every third of them sets the limits
VALUES, AXES, IMAGES_PER_AXIS = 144, 56, 20  # of f; d, unless there are too few images for it
# The shares of right answers beyond the limits.
SHARE_BY_OUTPUTS, SHARE_BY_DISTANCE = 0.0075, 0.02
# The limits of the outputs without doubt.npz, or with fewer than LEAST_ANSWERS right answers.
LEAST_OUTPUT, CLOSE, LEAST_ANSWERS = 0.5, 0.5, 50
# Limits are never stricter than these: a network may be overfitted to its training images.
HIGHEST_LIMIT, CLOSEST_LIMIT = 0.75, 1 / 3
WEIGHT_OF_ALL = 40  # the mean covariance of all classes counts like so many images of a class
# In the file: three numbers, three arrays, and the SHA-256 of the parameters they belong to.
LIMITS, ARRAYS, HASH = "limits", ["axes", "means", "whitenings"], "parameters"
MOST_BYTES = 2**25


class Doubt(NamedTuple):
    """An answer is unsure if Y < least_output, if the runner-up > close * Y, or if D > distance.

    axes (144, d), means (k, d) and whitenings (k, d, d) are A, m_c and L_c. If d = 0, D is 0.
    """

    least_output: float
    close: float
    distance: float
    axes: np.ndarray
    means: np.ndarray
    whitenings: np.ndarray


def fixed(classes: int) -> Doubt:
    """Limits that need no training images; no distance is computed."""
    return Doubt(LEAST_OUTPUT, CLOSE, 0.0, *map(np.zeros, shapes_of(0, classes)))


def shapes_of(d: int, classes: int) -> list[Shape]:
    """The shapes of A, m_c and L_c."""
    return [(VALUES, d), (classes, d), (classes, d, d)]


def fit(network: Network, parameters: Arrays, images: np.ndarray, labels: np.ndarray) -> Doubt:
    """The limits from a sample of the training set: uint8 images (n, 784), labels (n,) below k."""
    limiting = np.arange(len(images)) % 3 == 2
    X = scaled(images, parameters[0].dtype)
    Y = outputs_of(network, parameters, X[limiting])
    classes, answers = Y.shape[1], Y.argmax(axis=1)
    right = answers == labels[limiting]
    if right.sum() < LEAST_ANSWERS:
        return fixed(classes)
    learned = Doubt(0, 0, 0, *distributions(X[~limiting], labels[~limiting], classes))
    second, first = np.sort(Y[right], axis=1)[:, -2:].T
    closeness = second / np.maximum(first, 1e-9)
    D = distances(learned, X[limiting][right], answers[right])
    return learned._replace(
        least_output=min(HIGHEST_LIMIT, float(np.quantile(first, SHARE_BY_OUTPUTS))),
        close=max(CLOSEST_LIMIT, float(np.quantile(closeness, 1 - SHARE_BY_OUTPUTS))),
        distance=float(np.quantile(D, 1 - SHARE_BY_DISTANCE)),
    )


def distributions(X: np.ndarray, labels: np.ndarray, classes: int) -> Arrays:
    """A, m_c and L_c of images X (n, 784) with labels (n,).

    C_c lies between the covariance of the class and the mean covariance, closer to the mean if the
    class has few images (J. Friedman, "Regularized discriminant analysis", 1989).
    """
    F = halved(X)
    _, ascending = np.linalg.eigh(np.cov(F.T))
    axes = ascending[:, ::-1][:, : min(AXES, len(X) // IMAGES_PER_AXIS)]
    V = F @ axes
    means = np.tile(V.mean(axis=0), (classes, 1))
    for label in np.unique(labels):
        means[label] = V[labels == label].mean(axis=0)
    around = V - means[labels]
    of_all = around.T @ around / len(V) + 1e-6 * np.eye(V.shape[1])  # so that it has an inverse
    whitenings = np.empty((classes, *of_all.shape))
    for label in range(classes):
        own = around[labels == label]
        covariance = (own.T @ own + WEIGHT_OF_ALL * of_all) / (len(own) + WEIGHT_OF_ALL)
        whitenings[label] = np.linalg.cholesky(np.linalg.inv(covariance))
    return tuple(array.astype(np.float32) for array in (axes, means, whitenings))


def halved(X: np.ndarray) -> np.ndarray:
    """f (n, 144) of images X (n, 784): 12x12 means of 4x4 pixels, which weigh 1 3 3 1 each way."""
    halving = np.zeros((12, 28))
    for row in range(12):
        halving[row, 2 * row + 1 : 2 * row + 5] = 1, 3, 3, 1
    F = (halving @ X.reshape(-1, 28, 28) @ halving.T).reshape(-1, VALUES)
    return F / np.maximum(np.linalg.norm(F, axis=1, keepdims=True), 1e-9)


@np.errstate(over="ignore", invalid="ignore")  # a file from elsewhere may hold huge numbers
def distances(doubt: Doubt, X: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """D (n,) of images X (n, 784) from the classes that the network answered (n,)."""
    V, D = halved(X) @ doubt.axes, np.empty(len(X))
    for answer in np.unique(answers):
        here = answers == answer
        around = V[here] - doubt.means[answer]
        D[here] = np.linalg.norm(around @ doubt.whitenings[answer], axis=1)
    return D


def reason(doubt: Doubt, x: np.ndarray, Y: np.ndarray, names: Sequence[str]) -> str:
    """Why the answer Y (k,) to an image x (1, 784) is unsure; "" if it is sure."""
    first, second = np.argsort(-Y, kind="stable")[:2]
    if Y[first] < doubt.least_output:
        return "the output is low"
    if Y[second] > doubt.close * Y[first]:
        return "the runner-up is close"
    if distances(doubt, x, np.array([first]))[0] > doubt.distance:
        return f"unlike training images of {names[first]}"
    return ""


def save(folder: str, doubt: Doubt, parameters: Arrays) -> None:
    """Write doubt.npz. Raises UserError if it cannot be written."""
    arrays = dict(zip(ARRAYS, doubt[3:], strict=True))
    arrays |= {LIMITS: np.array(doubt[:3]), HASH: hash_of(parameters)}
    storage.write(storage.join(folder, model_files.DOUBT), model_files.npz(arrays))


def load(folder: str, parameters: Arrays) -> Doubt:
    """The doubt that was saved with these parameters; fixed limits if there is none.

    Prints a note to stderr if it belongs to other parameters. Raises UserError if it is damaged.
    """
    place, classes = storage.join(folder, model_files.DOUBT), parameters[-1].size
    if not storage.exists(place):
        return fixed(classes)
    content = storage.read(place, MOST_BYTES)
    try:
        headers = contents.headers_of(content)
        if headers.get(HASH) != ((32,), np.uint8):
            raise Unusable(f"{HASH} is not a SHA-256")
        (belongs_to,) = contents.arrays_of(content, [HASH])
        if not np.array_equal(belongs_to, hash_of(parameters)):
            print(f"note: {place} belongs to another network and is not used", file=sys.stderr)
            return fixed(classes)
        axes = headers.get("axes")
        d = axes.shape[-1] if axes is not None and axes.shape else 0
        names, shapes = [LIMITS, *ARRAYS], [(3,), *shapes_of(min(d, VALUES), classes)]
        limits, *arrays = contents.finite_floats(content, headers, names, shapes)
    except Unusable as reason:
        contents.refuse(place, reason, "delete it, or train the model again")
    return Doubt(*limits.tolist(), *arrays)


def hash_of(parameters: Arrays) -> np.ndarray:
    """The SHA-256 of the parameters' bytes, uint8 (32,)."""
    digest = hashlib.sha256(b"".join(array.tobytes() for array in parameters)).digest()
    return np.frombuffer(digest, np.uint8)
