"""Digits for a machine without the internet: 0 to 9, drawn from matplotlib's own fonts.

An image is a glyph that is shifted, turned, slanted, squeezed, thickened or thinned and blurred at
random. Sizes and counts are those of MNIST, but no message or figure calls these images MNIST.

A glyph is stored as its signed distance field: how far each point is inside the ink (above 0) or
outside (below 0). Adding a constant to the field thickens the stroke. The width of the ramp from
black to white across its zero line is the blur.

The same seed gives the same bits on every machine with the same versions. So this module uses only
whole numbers and + - * / and square root, which round exactly. The last bit of a sine, a matrix
product or a sum of many floats depends on the processor.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from images.blocks import between_points, turned
from runtime.command_line import say

NAME = "offline digits (not MNIST)"

# How many of each digit 0..9 MNIST has.
COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
SEEDS = {"train": 1, "test": 2}

FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmmi10"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold"),
)

FRAME = 28  # side of a picture, in pixels
BOX = 20  # longer side of a glyph before it is warped, in pixels
FINE = 3  # grid points of a distance field per pixel
GRID = FINE * (FRAME + 6)  # side of a distance field; its margin keeps off-centre glyphs inside


def glyph(face: str, digit: int) -> np.ndarray:
    """Where a digit's ink is, (GRID, GRID) bool; its centre of mass is in the middle."""
    package = importlib.util.find_spec("matplotlib")  # to import it would read the user's settings
    assert package is not None and package.origin is not None
    path = Path(package.origin).with_name("mpl-data") / "fonts" / "ttf" / f"{face}.ttf"
    font = ImageFont.truetype(str(path), size=200, layout_engine=ImageFont.Layout.BASIC)
    sheet = Image.new("L", (400, 400))
    ImageDraw.Draw(sheet).text((100, 100), str(digit), fill=255, font=font)
    box = ImageOps.contain(sheet.crop(sheet.getbbox()), (BOX * FINE, BOX * FINE))
    ink = np.zeros((GRID, GRID), bool)
    ink[: box.height, : box.width] = np.asarray(box) >= 128
    to_middle = [GRID // 2 - round(where.mean()) for where in np.nonzero(ink)]
    return np.roll(ink, to_middle, axis=(0, 1))


@functools.cache
def distance_fields(digit: int) -> np.ndarray:
    """Signed distance to the edge of a digit's ink in each face: (faces, GRID, GRID), in pixels."""
    return np.stack([signed_distance(glyph(face, digit)) for face in FACES])


def signed_distance(ink: np.ndarray) -> np.ndarray:
    """How far each point is inside the ink (above 0) or outside (below 0): float32, in pixels.

    scipy takes the square root of whole numbers here, which is exact to the last bit everywhere.
    """
    from scipy.ndimage import distance_transform_edt  # here: it takes time, and few runs draw

    inside, outside = (distance_transform_edt(where).astype(np.float32) for where in (ink, ~ink))
    # The edge runs half-way between a point of ink and its neighbour: half a step off either way.
    return (inside - outside + 0.5 - ink) / FINE


def draw_digit(digit: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures of one digit, white (255) on black (0): (n, 784) uint8."""

    def between(low: float, high: float) -> np.ndarray:
        return (low + (high - low) * rng.random((n, 1, 1))).astype(np.float32)

    fields = distance_fields(digit)
    face = rng.integers(len(fields), size=(n, 1, 1), dtype=np.int32)
    right, down = between(-1.2, 1.2), between(-1.2, 1.2)
    t = between(-0.12, 0.12)  # tangent of half the angle: turns up to 14 degrees
    slant = between(-0.3, 0.4)
    width, height = between(0.8, 1.15), between(0.85, 1.02)

    # For each pixel of the picture, the point of the upright glyph that it shows.
    pixels = np.arange(FRAME, dtype=np.float32) - (FRAME - 1) / 2
    x, y = pixels - right, pixels[:, None] - down
    x, y = turned(x, y, t)
    x, y = (x + slant * y) / width, y / height

    half_stroke = fields.max(axis=(1, 2))[face]
    thicker = np.clip(between(1.1, 2.1) - half_stroke, -0.3, 1)
    blur = between(1.0, 2.1)
    depth = between_points(fields, face, x * FINE + GRID // 2, y * FINE + GRID // 2)
    grey = np.clip(0.5 + (depth + thicker) / blur, 0, 1)
    return (255 * grey + 0.5).astype(np.uint8).reshape(n, FRAME * FRAME)


def draw_digits(counts: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 784) and labels (n,), both uint8, shuffled: counts[d] images of digit d = 0..9.

    A digit's images and their order depend on the seed and its own count alone.
    """
    shuffle, *streams = np.random.SeedSequence(seed).spawn(1 + len(counts))
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    np.random.default_rng(shuffle).shuffle(labels)
    images = np.empty((len(labels), FRAME * FRAME), np.uint8)
    for digit in np.unique(labels).tolist():
        rng = np.random.default_rng(streams[digit])
        images[labels == digit] = draw_digit(digit, counts[digit], rng)
    return images, labels


def draw_part(part: str, digits: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the "train" or the "test" set: as many of `digits` as MNIST has.

    Images are (n, 784) uint8, labels (n,) uint8. The other digits do not change a digit's images.
    """
    counts = [count if digit in digits else 0 for digit, count in enumerate(COUNTS[part])]
    say(f"drawing {sum(counts):,} digits from fonts")
    return draw_digits(counts, SEEDS[part])
