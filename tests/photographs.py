"""Pictures as a person might hand them in: a digit of MNIST on paper, under many conditions.

Levels are float64 (height, width), 0 black to 255 white; `on_paper` makes the plain case of a digit
and the conditions change its ink, its paper or its light.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, DIGIT = 420, 240  # pixels of the picture, and of the 28x28 that are laid into it
PAPER, PEN, PRINT = 232.0, 45.0, 140.0  # levels; PRINT is the colour of ruled lines
Draw = np.random.Generator


def enlarged(image: np.ndarray, draw: Draw) -> np.ndarray:
    """How much ink each pixel has, 0 to 1: a digit with sharp edges, somewhere near the middle."""
    large = Image.fromarray(image).resize((DIGIT, DIGIT), Image.Resampling.BICUBIC)
    ink = np.zeros((SIDE, SIDE))
    top, left = draw.integers(60, SIDE - DIGIT - 60, 2)
    ink[top : top + DIGIT, left : left + DIGIT] = np.asarray(large) / 255
    return np.clip(2 * ink - 0.5, 0, 1)


def on_paper(ink: np.ndarray) -> np.ndarray:
    return PAPER + (PEN - PAPER) * ink


def framed(ink: np.ndarray, inset: int, width: int) -> np.ndarray:
    frame = Image.new("L", ink.shape)
    box = (inset, inset, SIDE - 1 - inset, SIDE - 1 - inset)
    ImageDraw.Draw(frame).rectangle(box, outline=255, width=width)
    return on_paper(np.maximum(ink, np.asarray(frame) / 255))


def shadowed(ink: np.ndarray, draw: Draw, softness: float) -> np.ndarray:
    """Part of the paper gets 55% of the light; the edge runs across the digit, at any angle."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle, offset = draw.uniform(0, 2 * np.pi), draw.uniform(-80, 80)
    depth = x * np.cos(angle) + y * np.sin(angle) - offset
    return on_paper(ink) * (1 - 0.45 / (1 + np.exp(-np.clip(depth / softness, -50, 50))))


def printed(ink: np.ndarray, draw: Draw, both_ways: bool) -> np.ndarray:
    """Lines 2 pixels wide, 34 apart, that were on the paper before the pen came."""
    lines = (np.arange(SIDE) + draw.integers(34)) % 34 < 2
    grid = lines[:, np.newaxis] | (lines if both_ways else np.zeros_like(lines))
    return np.minimum(np.where(grid, PRINT, PAPER), on_paper(ink))


def turned(ink: np.ndarray, degrees: float) -> np.ndarray:
    picture = Image.fromarray((255 * ink).astype(np.uint8))
    return on_paper(np.asarray(picture.rotate(degrees, Image.Resampling.BICUBIC)) / 255)


def thinned(ink: np.ndarray) -> np.ndarray:
    """The middle lines of the strokes (Lantuejoul's skeleton), as with a pen of 7 pixels."""
    shape = Image.fromarray(np.where(ink > 0.5, 255, 0).astype(np.uint8))
    middle = np.zeros(ink.shape, bool)
    while shape.getbbox():
        smaller = shape.filter(ImageFilter.MinFilter(3))
        opened = smaller.filter(ImageFilter.MaxFilter(3))
        middle |= (np.asarray(shape) > 0) & (np.asarray(opened) == 0)
        shape = smaller
    line = Image.fromarray(np.where(middle, 255, 0).astype(np.uint8))
    return on_paper(np.asarray(line.filter(ImageFilter.MaxFilter(7))) / 255)


CONDITIONS: dict[str, Callable[[np.ndarray, Draw], np.ndarray]] = {
    "plain": lambda ink, draw: on_paper(ink),
    "inverted": lambda ink, draw: 255 - on_paper(ink),
    "frame": lambda ink, draw: framed(ink, 30, 5),
    "frame at the border": lambda ink, draw: framed(ink, 0, 7),
    "hard shadow": lambda ink, draw: shadowed(ink, draw, 0.5),
    "soft shadow": lambda ink, draw: shadowed(ink, draw, 40),
    "ruled paper": lambda ink, draw: printed(ink, draw, False),
    "squared paper": lambda ink, draw: printed(ink, draw, True),
    "rotated 15 degrees": lambda ink, draw: turned(ink, draw.choice([-15, 15])),
    "noise": lambda ink, draw: on_paper(ink) + draw.normal(0, 25, ink.shape),
    "thin strokes": lambda ink, draw: thinned(ink),
}


def picture_of(image: np.ndarray, condition: str, seed: int) -> Image.Image:
    """A picture of SIDE x SIDE pixels of an MNIST image (28, 28) under one of the CONDITIONS."""
    draw = np.random.default_rng([seed, list(CONDITIONS).index(condition)])
    levels = CONDITIONS[condition](enlarged(image, draw), draw)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))
