"""An image file as 28x28 pixels: what executors do with the files of a folder or a table."""

import contextlib
import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps

from images.blocks import SIDE
from images.files import kind_of
from runtime.command_line import UserError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # none that runs a program
MOST_PIXELS = 4_000_000  # of an image in a data set
# What a camera says of how it was held, and how to turn the image upright.
TURN = Image.Transpose
TURNS = {2: TURN.FLIP_LEFT_RIGHT, 3: TURN.ROTATE_180, 4: TURN.FLIP_TOP_BOTTOM, 5: TURN.TRANSPOSE}
TURNS |= {6: TURN.ROTATE_270, 7: TURN.TRANSVERSE, 8: TURN.ROTATE_90}
TOO_MANY = f"pixels are too many; at most {MOST_PIXELS:,} are read: shrink the image"


def decoded(content: bytes, name: str) -> tuple[np.ndarray, bool]:
    """The grey pixels of an image file, uint8 (784,), and whether they had to be scaled.

    28x28 pixels stay as they are, but for the turn that a camera asks for. Others are scaled to
    fit, and the rest of the frame gets the colour of the border. Raises UserError, with `name`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # harmless flaws of a file
            with Image.open(io.BytesIO(content), formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise UserError(f"{name}: {file.width}x{file.height} {TOO_MANY}")
                image = grey(as_held(file))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{name}: its {TOO_MANY}") from None
    except Exception:  # a decoder may raise anything at a broken file
        kind = kind_of(content[:512])
        raise UserError(f"{name}: a damaged image, or none: it is {kind}") from None
    if image.size == (SIDE, SIDE):
        return np.asarray(image).reshape(-1), False
    frame = int(np.median(border(np.asarray(image))))
    framed = ImageOps.pad(image, (SIDE, SIDE), color=frame)
    return np.asarray(framed).reshape(-1), True


def as_held(image: Image.Image) -> Image.Image:
    """The image, turned as its camera says.

    `ImageOps.exif_transpose` also writes the camera's notes anew, and fails at odd ones.
    """
    turn = None
    image.load()  # Pillow turns a TIFF itself, and takes the note away
    with contextlib.suppress(Exception):
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def grey(image: Image.Image) -> Image.Image:
    """The image in 8 bits of grey; where it is transparent, on what its ink stands out from.

    A format of more bits may hold levels of 0 to 255 too, and one of floats those of 0 to 1.
    """
    if image.mode[0] in "IF":
        levels = np.asarray(image)
        if image.mode == "F" and levels.max() <= 1:
            levels = levels * 255
        elif levels.max() > 255:
            levels = levels // 256
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        colours = on_plain_ground(np.asarray(image, np.float64))
        image = Image.fromarray(np.round(colours).astype(np.uint8))
    return image.convert("L")


def on_plain_ground(rgba: np.ndarray) -> np.ndarray:
    """Colours (height, width, 3) of an image (height, width, 4), on a ground of one colour.

    If most of the border is opaque, the ground has the border's colour. Otherwise it is black or
    white, whichever is further from the ink.
    """
    colours, opacity = rgba[..., :3], rgba[..., 3:] / 255
    border_opacity = border(opacity)[:, 0]
    if border_opacity.mean() > 0.5:
        ground = np.median(border(colours)[border_opacity > 0.5], axis=0)
    else:
        ground = 255 if ink_level(colours.mean(axis=2), opacity[..., 0]) < 127.5 else 0
    return opacity * colours + (1 - opacity) * ground


def ink_level(levels: np.ndarray, opacity: np.ndarray) -> float:
    """How light the ink is that stands alone: levels and opacity (height, width).

    The edge of a stroke lies between the ink and the ground that was taken away: the ink is what
    lies beyond the inner pixels, as far from them as the edge is on the other side.
    """
    solid = opacity >= opacity.max() / 2
    wide = np.pad(solid, 1)
    inner = solid & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    if not (inner.any() and (solid & ~inner).any()):
        return float(levels[solid].mean())
    return float(2 * levels[inner].mean() - levels[solid & ~inner].mean())


def border(picture: np.ndarray) -> np.ndarray:
    """The outermost pixels of an image (height, width, ...), as (pixels, ...)."""
    outermost = np.ones(picture.shape[:2], bool)
    outermost[1:-1, 1:-1] = False
    return picture[outermost]
