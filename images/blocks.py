"""What the executors do with the data: blocks of images, and the rows of numbers that they become.

A block is (images uint8 (m, 784), labels uint8 (m,)). Knows NumPy only, so that executors need
nothing else.
"""

import functools
import gc
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

Block = tuple[np.ndarray, np.ndarray]
BLOCK_ROWS = 4096
SIDE = 28
WARPED_AT_ONCE = 32  # images; the arrays of more do not fit into the cache


def as_rows(
    images: np.ndarray, labels: np.ndarray, outputs: int, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """X (n, 784), pixels divided by 255, and y* (n, k), one-hot, of a block's images and labels."""
    _freeze_imports()
    return scaled(images, dtype), np.eye(outputs, dtype=dtype)[labels]


def scaled(images: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """X (n, 784): the pixels of images (n, 784), divided by 255."""
    return np.divide(images, 255, dtype=dtype)


@functools.cache
def _freeze_imports() -> None:
    """Python collects garbage after each task: not to look at imported modules saves 20 ms."""
    gc.freeze()


def shifted(images: np.ndarray, chance: np.random.Generator, most: int) -> np.ndarray:
    """Each image (n, 784) moved by up to `most` pixels each way, with 0 where nothing was."""
    offsets = chance.integers(0, 2 * most + 1, (len(images), 2))
    wide = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (SIDE, SIDE), (1, 2))
    return windows[np.arange(len(images)), *offsets.T].reshape(images.shape)


def warped(
    images: np.ndarray, chance: np.random.Generator, degrees: float, zoom: float
) -> np.ndarray:
    """Each image (n, 784) rotated by up to `degrees` and scaled by up to the share `zoom`.

    Both about the centre of the image, with 0 where nothing was.
    """
    most = math.tan(math.radians(degrees) / 2)
    t = chance.uniform(-most, most, (len(images), 1, 1)).astype(np.float32)
    scale = chance.uniform(1 - zoom, 1 + zoom, t.shape).astype(np.float32)
    pixels = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    wide = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (2, 2), (2, 2)))
    result = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), WARPED_AT_ONCE):
        part = slice(start, start + WARPED_AT_ONCE)
        # For each pixel of the result, the point of the image that it shows.
        x, y = turned(pixels / scale[part], pixels[:, None] / scale[part], t[part])
        number = np.arange(len(x))[:, None, None]
        # The centre of `wide` is at (SIDE - 1) / 2 + 2.
        grey = between_points(wide[part], number, x + SIDE / 2 + 1.5, y + SIDE / 2 + 1.5)
        result[part] = (grey + 0.5).reshape(len(grey), -1)
    return result


def turned(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points turned about (0, 0); t is the tangent of half the angle.

    Without sine and cosine, whose last bit depends on the processor.
    """
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return cosine * x + sine * y, cosine * y - sine * x


def between_points(
    fields: np.ndarray, number: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """The values of fields[number] at column x and row y, bilinear between the four points there.

    fields (m, side, side); the other arrays, of one shape, give the result's. Beyond an edge, the
    values are those at the edge.
    """
    side = fields.shape[1]
    x, y = np.clip(x, 0, side - 1.01), np.clip(y, 0, side - 1.01)
    column, row = x.astype(np.intp), y.astype(np.intp)
    x -= column.astype(np.float32)
    y -= row.astype(np.float32)
    points, corner = fields.ravel(), (number * side + row) * side + column
    left, above = 1 - x, 1 - y
    value = points[corner] * left
    value += points[corner + 1] * x
    value *= above
    corner += side
    below = points[corner] * left
    below += points[corner + 1] * x
    below *= y
    value += below
    return value


def select_digits(
    images: np.ndarray, labels: np.ndarray, digits: Sequence[int], transposed: bool = False
) -> Block:
    """The images of some labels, and for each image the position of its label in `digits`.

    transposed: rows and columns of the images are swapped, as EMNIST's are; swap them back.
    """
    chosen = np.isin(labels, digits)
    position = np.zeros(256, np.uint8)
    position[list(digits)] = range(len(digits))
    images = images[chosen]
    if transposed:
        images = images.reshape(-1, SIDE, SIDE).swapaxes(1, 2).reshape(images.shape)
    return images, position[labels[chosen]]


def split_into_blocks(images: np.ndarray, labels: np.ndarray) -> Iterator[Block]:
    """Blocks of few images, which take little memory as floats; without images, an empty one."""
    for start in range(0, max(1, len(images)), BLOCK_ROWS):
        yield images[start : start + BLOCK_ROWS], labels[start : start + BLOCK_ROWS]
