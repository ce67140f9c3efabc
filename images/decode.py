"""An image file as 28x28 pixels: what executors do with the files of a folder or a table."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from images.blocks import SIDE
from images.files import kind_of
from runtime.command_line import UserError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # none that runs a program
MOST_PIXELS = 4_000_000  # of an image in a data set


def decoded(content: bytes, name: str) -> tuple[np.ndarray, bool]:
    """The grey pixels of an image file, uint8 (784,), and whether they had to be scaled.

    28x28 pixels stay as they are. Others are scaled to fit, and the rest of the frame gets the
    colour of the border. What is transparent is black. Raises UserError, with `name`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # harmless flaws of a file
            with Image.open(io.BytesIO(content), formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise UserError(f"{name}: {file.width}x{file.height} pixels are too many")
                image = grey(file)
    except UserError:
        raise
    except Exception:  # a decoder may raise anything at a broken file
        kind = kind_of(content[:512])
        raise UserError(f"{name}: a damaged image, or none: it is {kind}") from None
    if image.size == (SIDE, SIDE):
        return np.asarray(image).reshape(-1), False
    levels = np.asarray(image)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    framed = ImageOps.pad(image, (SIDE, SIDE), color=int(np.median(border)))
    return np.asarray(framed).reshape(-1), True


def grey(image: Image.Image) -> Image.Image:
    """The image in 8 bits of grey, on black where it is transparent."""
    if image.mode[0] == "I":  # 16 bits
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")
