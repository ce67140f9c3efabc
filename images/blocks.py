"""What the executors do with the data: blocks of images, and the rows of numbers that they become.

A block is (images uint8 (m, 784), labels uint8 (m,)). Knows NumPy only, so that executors need
nothing else.
"""

import functools
import gc
from collections.abc import Iterator, Sequence

import numpy as np

Block = tuple[np.ndarray, np.ndarray]
BLOCK_ROWS = 4096
SIDE = 28


def as_rows(
    images: np.ndarray, labels: np.ndarray, outputs: int, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """X (n, 784), pixels divided by 255, and y* (n, k), one-hot, of a block's images and labels."""
    _freeze_imports()
    X = np.divide(images, 255, dtype=dtype)
    return X, np.eye(outputs, dtype=dtype)[labels]


@functools.cache
def _freeze_imports() -> None:
    """A worker collects garbage after each task; without the imported modules, 20 ms faster."""
    gc.freeze()


def shifted(images: np.ndarray, chance: np.random.Generator, most: int) -> np.ndarray:
    """Each image (n, 784) moved by up to `most` pixels each way, with 0 where nothing was."""
    offsets = chance.integers(0, 2 * most + 1, (len(images), 2))
    margins = (0, 0), (most, most), (most, most)
    wide = np.pad(images.reshape(-1, SIDE, SIDE), margins)
    moved = np.empty_like(images).reshape(-1, SIDE, SIDE)
    for down in range(2 * most + 1):
        for right in range(2 * most + 1):
            here = np.flatnonzero((offsets == (down, right)).all(axis=1))
            moved[here] = wide[here, down : down + SIDE, right : right + SIDE]
    return moved.reshape(images.shape)


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
    """Blocks of few images, which take little memory as floats; one empty block of no images."""
    for start in range(0, max(1, len(images)), BLOCK_ROWS):
        yield images[start : start + BLOCK_ROWS], labels[start : start + BLOCK_ROWS]
