"""A person's own image of a digit, brought into the shape that the network saw in training.

The last steps are those by which MNIST itself was made from scanned forms: a digit is scaled, with
its proportions kept and its edges anti-aliased, until it fits a box of 20x20 pixels, and is laid
into 28x28 pixels so that its centre of mass is in the middle (Y. LeCun, C. Cortes and C. J. C.
Burges, "The MNIST database of handwritten digits", http://yann.lecun.com/exdb/mnist/).

Before that, the digit has to be found. What is promised: one digit, in ink of any colour that
stands out from its background, darker or lighter; the background is plain, reaches most of the
border (or is a sheet with its four edges in the picture). The light on it may change slowly, and
shadows may have edges, if they are wider than a third of the picture. A frame around the digit or
along the edge of the picture is cut away, if the digit does not touch it; so are lines on the
paper that are fainter than the ink. What does not look like one digit is read with a doubt.
"""

import os
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from runtime.command_line import UserError

SIDE, BOX = 28, 20  # pixels of an MNIST image, and of the box that its digit just fits
WORKING_SIDE = 256  # pixels; a larger picture is shrunk to it, which averages noise away too
SMOOTHLY = Image.Resampling.HAMMING  # anti-aliases without dark or light seams along edges
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # none that would run a program
# How HEIC and AVIF files start, behind four bytes.
PHONE_FORMATS = [b"ftyp" + kind for kind in (b"heic", b"heix", b"mif1", b"avif", b"avis", b"hevc")]
LEAST_CONTRAST = 16  # levels of 255 between ink and background
LEAST_SIZE = 12  # pixels that a digit has to be high or wide, of the WORKING_SIDE
EDGE, SOLID = "ink at the edge of the picture", "more ink than a digit has"  # doubts
HAIRLINE, PEN = 1, 2  # pixels of the box: MNIST's thinnest and its usual stroke


class Reading(NamedTuple):
    """A digit as MNIST would hold it, uint8 (1, 784), light ink on black, and why it may be none.

    The doubt is a phrase for a person, or "".
    """

    pixels: np.ndarray
    doubt: str


def read_digit(path: str | os.PathLike) -> Reading:
    """The digit in an image file, and what speaks against its being one, if anything does.

    Raises UserError, naming the file, where it cannot be read or nothing stands out in it.
    """
    colours = read_colours(path)
    readings = []
    for share_of_full_ink in (0.5, 0.75):  # lines on the paper may be almost as dark as the pen
        for ink_on in (ink_in_even_light, ink_in_any_light):
            reading = look(colours, ink_on, share_of_full_ink)
            if reading is None:
                continue
            if not reading.doubt:
                return reading
            readings.append(reading)
    if not readings:
        raise UserError(f"{path}: no digit stands out from its background")
    return min(readings, key=lambda reading: reading.doubt == EDGE)  # the first; rather no EDGE


def look(
    colours: np.ndarray, ink_on: Callable[[np.ndarray], np.ndarray], share_of_full_ink: float
) -> Reading | None:
    """What is found in colours (height, width, 3) by one way to tell ink from its background."""
    doubt, looked_at = "", np.ones(colours.shape[:2], bool)
    # Where shadows are looked for, a stroke along the edge passes for one and goes unseen.
    room = 0.0 if ink_on is ink_in_even_light else 1 / 3  # at the edge, in sizes of the digit
    # The second look goes closer at what the first one found. There the light is more even, so that
    # fainter ink can be told from the background: the soft edges, which belong to the digit.
    for share in (share_of_full_ink, 0.8 * share_of_full_ink):
        ink = np.where(looked_at, ink_on(colours), 0)
        if ink.max() < LEAST_CONTRAST:
            return None
        digit, others, frames = only_the_digit(ink, share)
        top_left, bottom_right = digit.min(axis=0), digit.max(axis=0) + 1
        size = (bottom_right - top_left).max()
        if is_sheet(ink, top_left, bottom_right):
            doubt = SOLID  # unless the next look finds a digit on it
            looked_at, margin = np.ones(ink.shape, bool), -(size // 10)
        else:
            earlier = "" if doubt == SOLID else doubt
            doubt = earlier or doubt_about(digit, others, ink.shape, max(1, round(room * size)))
            looked_at, margin, room = ~near(others + frames, ink.shape, 2), size // 4 + 1, 0
        (top, left), (bottom, right) = np.maximum(top_left - margin, 0), bottom_right + margin
        colours = colours[top:bottom, left:right]
        looked_at = looked_at[top:bottom, left:right]
    ink = np.where(near([digit], ink.shape, size // 10 + 1), ink, 0)  # with its soft edges
    pixels = centred(fitted(ink, top_left, size)).reshape(1, SIDE * SIDE)
    return Reading(pixels, doubt)


def read_colours(path: str | os.PathLike) -> np.ndarray:
    """An image file as red, green and blue of 0 to 255, float64 (height, width, 3), upright.

    At most WORKING_SIDE high and wide. Raises UserError where there is no image to read.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such file")
    if not os.path.isfile(path):
        raise UserError(f"{path}: a folder or a device; name an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # harmless flaws of a file
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                file.draft(None, (WORKING_SIDE, WORKING_SIDE))  # JPEG can decode only that much
                image = ImageOps.exif_transpose(with_eight_bits(file)).convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
        raise UserError(f"{path}: larger than {limit}; cut the digit out or shrink it") from None
    except PermissionError:
        raise UserError(f"{path}: no permission to read it") from None
    except Exception:  # a decoder may raise anything at a broken file
        with open(path, "rb") as file:
            if file.read(12)[4:] in PHONE_FORMATS:
                raise UserError(f"{path}: HEIC or AVIF; convert it to JPEG") from None
        kinds = ", ".join(FORMATS)
        raise UserError(f"{path}: damaged, or no image of a known kind ({kinds})") from None
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), SMOOTHLY)
    return on_plain_ground(np.asarray(image, np.float64))


def with_eight_bits(image: Image.Image) -> Image.Image:
    """The image; grey of 16 or 32 bits becomes 0 to 255, from its own darkest to its lightest."""
    if image.mode[0] not in "IF":
        return image
    levels = np.nan_to_num(np.asarray(image, np.float64))
    levels -= levels.min()
    return Image.fromarray((levels * (255 / max(levels.max(), 1e-9))).astype(np.uint8))


def on_plain_ground(rgba: np.ndarray) -> np.ndarray:
    """Colours (height, width, 3) of a picture (height, width, 4), laid on a ground of one colour.

    A picture that is mostly opaque at its border gets the colour that it has there; a drawing on
    nothing gets black or white, whichever is further from its ink.
    """
    colours, opacity = rgba[..., :3], rgba[..., 3:] / 255
    border_opacity = border(opacity)[:, 0]
    if border_opacity.mean() > 0.5:
        ground = np.median(border(colours)[border_opacity > 0.5], axis=0)
    else:
        ground = 255 if (colours * opacity).sum() < 127.5 * 3 * opacity.sum() else 0
    return opacity * colours + (1 - opacity) * ground


def border(picture: np.ndarray) -> np.ndarray:
    """The outermost pixels of (height, width, channels), as (pixels, channels)."""
    outermost = np.ones(picture.shape[:2], bool)
    outermost[1:-1, 1:-1] = False
    return picture[outermost]


def ink_in_even_light(colours: np.ndarray) -> np.ndarray:
    """How far each pixel is from the background towards the ink, in levels of 255, (height, width).

    The background is a surface of second degree for each colour, which follows uneven light. Its
    fit starts at the border's median colour, and the further a pixel is off, the less it counts
    (iteratively reweighted least squares with the weights of Geman and McClure). What noise alone
    could reach is 0.
    """
    height, width, channels = colours.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    step = 1 + max(height, width) // 50  # two thousand pixels are plenty for the fit
    some_terms = terms[::step, ::step].reshape(-1, terms.shape[2])
    some_colours = colours[::step, ::step].reshape(-1, channels)
    misfit = some_colours - np.median(border(colours), axis=0)
    for tolerance in (64, 48, 32, 24, 16, 16, 16):  # levels
        weights = (1 + (misfit**2).sum(axis=1, keepdims=True) / tolerance**2) ** -2
        weighted = (weights * some_terms).T
        surface = np.linalg.lstsq(weighted @ some_terms, weighted @ some_colours, rcond=None)[0]
        misfit = some_colours - some_terms @ surface
    difference = colours - terms @ surface
    # Cubed, the few pixels that are far off, the ink, outvote the many that are off a little.
    towards_ink = (difference * (difference**2).sum(axis=2, keepdims=True)).sum(axis=(0, 1))
    ink = difference @ towards_ink / max(np.linalg.norm(towards_ink) * channels**0.5, 1e-9)
    return above_noise(ink, border(ink))


def ink_in_any_light(colours: np.ndarray) -> np.ndarray:
    """As `ink_in_even_light`, but shadows may have edges: ink is what is narrow.

    The background of dark ink is the closing of the colours by a square, that of light ink their
    opening (J. Serra, "Image Analysis and Mathematical Morphology", 1982): a shadow has room for
    the square and stays, a stroke has not and goes. Of the two, ink is what reaches further; the
    other is the gaps between its strokes. Ink in a shadow has less light to differ by.
    """
    width = max(colours.shape[:2]) * 35 // 100 + 1
    inks = []
    for first, second in ((np.maximum, np.minimum), (np.minimum, np.maximum)):
        nothing = -np.inf if first is np.maximum else np.inf
        around = ((width - 1, width - 1), (width - 1, width - 1), (0, 0))
        background = np.pad(colours, around, constant_values=nothing)  # a square may reach beyond
        background = extreme(extreme(background, width, first), width, second)
        ink = np.abs(colours - background).mean(axis=2)
        ink -= np.median(ink)  # the extremes of noise
        inks.append(above_noise(ink, ink) * (255 / np.maximum(background.mean(axis=2), 64)))
    return max(inks, key=extent)


def extreme(levels: np.ndarray, width: int, pick: np.ufunc) -> np.ndarray:
    """The largest (pick = np.maximum) or smallest level of every square, `width` pixels wide."""
    for _ in range(2):
        done = 1
        while done < width:  # from the extreme of `done` pixels to that of up to twice as many
            step = min(done, width - done)
            levels = pick(levels[step:], levels[:-step])
            done += step
        levels = levels.swapaxes(0, 1)
    return levels


def above_noise(ink: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The ink; 0 where it is no more than noise could reach, by what a background shows of it."""
    noise = np.percentile(np.abs(background), 25) / 0.32  # where normal, the standard deviation
    return np.where(ink > 5 * noise, ink, 0)


def extent(ink: np.ndarray) -> int:
    """The area of the box around all strong ink, in pixels."""
    rows, columns = np.nonzero(ink > max(ink.max() / 2, LEAST_CONTRAST))
    return int((np.ptp(rows) + 1) * (np.ptp(columns) + 1)) if rows.size else 0


def only_the_digit(
    ink: np.ndarray, share_of_full_ink: float
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """(row, column) of the digit's pixels, and of those of each other piece, and of each frame.

    The further a piece is from the largest one, the larger it must be to count as a stroke.
    """
    full_ink = np.median(ink[ink > ink.max() / 2])
    pieces = connected(ink > share_of_full_ink * full_ink)
    firsts = np.array([piece.min(axis=0) for piece in pieces])
    lasts = np.array([piece.max(axis=0) for piece in pieces])
    frames = [piece for piece in pieces if is_frame(piece, firsts, lasts)]
    pieces = [piece for piece in pieces if not is_frame(piece, firsts, lasts)]
    largest = max(pieces, key=len)
    first, last = largest.min(axis=0), largest.max(axis=0)
    size = (last - first).max() + 1
    strokes: list[np.ndarray] = []
    others: list[np.ndarray] = []
    for piece in pieces:
        gap = np.maximum(piece.min(axis=0) - last, first - piece.max(axis=0)).max() - 1
        is_stroke = len(piece) / len(largest) >= 0.1 * gap / size
        (strokes if is_stroke else others).append(piece)
    return np.concatenate(strokes), others, frames


def is_frame(piece: np.ndarray, firsts: np.ndarray, lasts: np.ndarray) -> bool:
    """Whether a piece goes around another one of at least a third of its size, and apart from it.

    firsts, lasts (pieces, 2): row and column of the top left and the bottom right of every piece.
    """
    first, last = piece.min(axis=0), piece.max(axis=0)
    within = ((firsts > first) & (lasts < last)).all(axis=1)
    large = 3 * (lasts - firsts).max(axis=1) >= (last - first).max()
    for inner_first, inner_last in zip(firsts[within & large], lasts[within & large], strict=True):
        if not ((piece >= inner_first) & (piece <= inner_last)).all(axis=1).any():
            return True
    return False


def doubt_about(
    digit: np.ndarray, others: list[np.ndarray], shape: tuple[int, ...], room: int
) -> str:
    """Why what was found in a picture of this shape may not be one digit, or "".

    room: pixels that have to be free between the digit and the edge of the picture.
    """
    top_left, bottom_right = digit.min(axis=0), digit.max(axis=0) + 1
    height, width = bottom_right - top_left
    size = max(height, width)
    mask = near([digit], shape, 0)
    gap = size // BOX  # by which a stroke may be broken, as some are in MNIST
    joined = extreme(np.pad(mask, gap), gap + 1, np.maximum)
    areas = sorted(map(len, connected(joined)))
    box = mask[tuple(map(slice, top_left, bottom_right))]
    rim = gap + 1
    sides = box[:rim].any(0), box[-rim:].any(0), box[:, :rim].any(1), box[:, -rim:].any(1)
    if top_left.min() < room or (bottom_right > np.array(shape) - room).any():
        return EDGE
    if 2 * min(height, width) > size and min(side.mean() for side in sides) > 0.9:
        return "a frame"  # touched by the digit, or with nothing in it
    if sum(areas[:-1]) > 0.05 * areas[-1]:
        return "several pieces of ink"
    if any(3 * np.ptp(piece, axis=0).max() >= size for piece in others):
        return "several pieces of ink"
    if width > 1.8 * height:  # 1 in 1000 of MNIST's digits is wider than 1.75 times its height
        return "wider than a digit"
    return "smaller than a digit" if size < LEAST_SIZE else ""


def near(pieces: list[np.ndarray], shape: tuple[int, ...], reach: int) -> np.ndarray:
    """A bool array of this shape, True no further than `reach` pixels from any of the pieces."""
    mask = np.zeros(shape, bool)
    for piece in pieces:
        mask[tuple(piece.T)] = True
    return extreme(np.pad(mask, reach), 2 * reach + 1, np.maximum)


def is_sheet(ink: np.ndarray, top_left: np.ndarray, bottom_right: np.ndarray) -> bool:
    """Whether what was found fills its box, as paper on a table does; of digits, a narrow 1 may."""
    height, width = bottom_right - top_left
    box = ink[tuple(map(slice, top_left, bottom_right))]
    return max(height, width) < 2 * min(height, width) and (box > ink.max() / 2).mean() > 0.75


def connected(mask: np.ndarray) -> list[np.ndarray]:
    """The connected pieces of a mask, diagonals included, each as (row, column) of its pixels."""
    width = mask.shape[1] + 2
    left = set(np.flatnonzero(np.pad(mask, 1)).tolist())
    steps = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    pieces = []
    while left:
        piece = [left.pop()]
        for pixel in piece:  # which grows while the loop walks along it
            for step in steps:
                if pixel + step in left:
                    left.remove(pixel + step)
                    piece.append(pixel + step)
        pieces.append(np.stack(np.divmod(piece, width), axis=1) - 1)
    return pieces


def fitted(ink: np.ndarray, top_left: np.ndarray, size: int) -> np.ndarray:
    """(28, 28) with the digit, which is `size` pixels high or wide, scaled to the box.

    A hairline would fade when scaled down: it is widened to a pen's stroke before.
    """
    strong = ink > ink.max() / 2
    inner = strong[1:, 1:] & strong[1:, :-1] & strong[:-1, 1:] & strong[:-1, :-1]
    stroke = strong.sum() / (strong.sum() - inner.sum())  # area by length
    pixel, widening, room = size / BOX, 0, 2 * size
    if stroke < HAIRLINE * pixel:
        widening = round((PEN * pixel - stroke) / 2)
        ink = np.minimum(ink, np.median(ink[strong]))  # how it met the pixels made it uneven
    ink = extreme(np.pad(ink, room), 2 * widening + 1, np.maximum)
    pixel = (size + 2 * widening) / BOX
    top, left = top_left + room - 2 * widening - (SIDE - BOX) / 2 * pixel
    window = (left, top, left + SIDE * pixel, top + SIDE * pixel)
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize((SIDE, SIDE), SMOOTHLY, window), np.float64)


def centred(ink: np.ndarray) -> np.ndarray:
    """uint8 (28, 28): ink at full contrast, its centre of mass in pixel (14, 14) as in MNIST."""
    row, column = (round((i * ink).sum() / ink.sum()) for i in np.indices(ink.shape))
    around = np.pad(ink, SIDE)[row + SIDE // 2 :, column + SIDE // 2 :][:SIDE, :SIDE]
    return np.round(around * (255 / around.max())).astype(np.uint8)
