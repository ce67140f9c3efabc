"""Pictures that show no digit: letters that resemble none, and shapes. Dark ink on white paper."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE, BOX = 280, 180  # pixels of the picture, and of what is drawn in it
LETTERS = "AEFHKMNRVWXkmnr"  # not O, I, Z, S, b, q, g, ..., which one writes like digits
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono"),
    *("STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")


def star(points: int, inner: float) -> list[tuple[float, float]]:
    turns = np.arange(2 * points + 1) * np.pi / points - np.pi / 2
    far = np.where(np.arange(len(turns)) % 2, inner, 1.0) / 2
    return [(0.5 + r * np.cos(t), 0.5 + r * np.sin(t)) for r, t in zip(far, turns, strict=True)]


def heart() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, 40)
    high = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return list(zip(0.5 + np.sin(t) ** 3 / 2, 0.45 - high / 32, strict=True))


def spiral() -> list[tuple[float, float]]:
    t = np.linspace(0, 1, 80)
    wide, turn = t / 2, 6 * np.pi * t
    return list(zip(0.5 + wide * np.cos(turn), 0.5 + wide * np.sin(turn), strict=True))


# Strokes, from point to point, in a square of side 1.
SHAPES = {
    "triangle": [[(0.5, 0), (1, 1), (0, 1), (0.5, 0)]],
    "triangle on its tip": [[(0, 0), (1, 0), (0.5, 1), (0, 0)]],
    "square": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]],
    "diamond": [star(2, 0.7071)],
    "star": [star(5, 0.4)],
    "star of six": [star(6, 0.5)],
    "heart": [heart()],
    "spiral": [spiral()],
    "arrow": [[(0, 0.5), (1, 0.5)], [(0.6, 0.15), (1, 0.5), (0.6, 0.85)]],
    "arrow up": [[(0.5, 1), (0.5, 0)], [(0.15, 0.4), (0.5, 0), (0.85, 0.4)]],
    "zigzag": [[(0, 0.2), (0.2, 0.8), (0.4, 0.2), (0.6, 0.8), (0.8, 0.2), (1, 0.8)]],
    "plus": [[(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "house": [[(0, 1), (0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1)], [(0, 0.4), (1, 0.4)]],
    "grid": [[(a, 0), (a, 1)] for a in (0.3, 0.7)] + [[(0, a), (1, a)] for a in (0.3, 0.7)],
    "envelope": [[(0, 0.1), (1, 0.1), (1, 0.9), (0, 0.9), (0, 0.1), (0.5, 0.5), (1, 0.1)]],
}


def letter(character: str, face: str) -> Image.Image:
    picture = Image.new("L", (SIDE, SIDE), 255)
    font = ImageFont.truetype(str(FONTS / f"{face}.ttf"), size=BOX)
    draw = ImageDraw.Draw(picture)
    draw.text((SIDE / 2, SIDE / 2), character, fill=0, font=font, anchor="mm")
    return picture


def shape(name: str, rng: np.random.Generator) -> Image.Image:
    """A shape as if drawn by hand: a little turned and squeezed, with a pen of any width."""
    picture = Image.new("L", (SIDE, SIDE), 255)
    draw = ImageDraw.Draw(picture)
    turn, pen = rng.uniform(-0.15, 0.15), int(rng.integers(10, 24))
    cosine, sine = np.cos(turn), np.sin(turn)
    squeeze = BOX * rng.uniform(0.7, 1.0, 2)
    for stroke in SHAPES[name]:
        points = (np.array(stroke) - 0.5) * squeeze + rng.normal(0, 2, (len(stroke), 2))
        places = points @ np.array([[cosine, sine], [-sine, cosine]]) + SIDE / 2
        draw.line([tuple(place) for place in places.tolist()], fill=0, width=pen, joint="curve")
        for x, y in places[[0, -1]].tolist():
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=0)
    return picture


def pictures() -> dict[str, Image.Image]:
    """300 pictures by name: 15 letters in 10 faces, and 15 shapes, each drawn 10 times."""
    rng = np.random.default_rng(1)
    found = {f"{one} {face}": letter(one, face) for one in LETTERS for face in FACES}
    for name in SHAPES:
        found |= {f"{name} {number}": shape(name, rng) for number in range(10)}
    return found
