"""Your own image of a digit, in the form that the network saw in training.

The last steps are those by which MNIST was made: the digit is scaled, with its proportions kept and
its edges anti-aliased, until it fits a box of 20x20 pixels. Then it is placed into 28x28 pixels
with its centre of mass in the middle (Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database
of handwritten digits", http://yann.lecun.com/exdb/mnist/).

Before that, the digit has to be found. The image should hold one digit, in ink of any colour that
stands out from its background, darker or lighter. The background has one colour and covers most of
the border, or it is a sheet of paper with all four edges in the image. The light may change slowly,
and shadows may have edges, if they are wider than a third of the image. A frame around the digit or
along the border is ignored, if the digit does not touch it; so are lines on the paper that are
fainter than the ink. The result states a doubt where the ink does not look like one digit.
"""

import os
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from images.blocks import SIDE
from images.decode import FORMATS, as_held, border, on_plain_ground
from runtime.command_line import UserError

BOX = 20  # pixels of the box that a digit of MNIST just fits
WORKING_SIDE = 256  # pixels; a larger image is shrunk to it, which averages noise away too
SMOOTHLY = Image.Resampling.HAMMING  # anti-aliases without dark or light seams along edges
# Larger images are refused. The decoder of JPEG shrinks an image before this check.
MOST_PIXELS, LONGEST_SIDE = 90_000_000, 65_535
DECODED_SIDE = 2048  # pixels; a larger image is shrunk to about it before anything else
# HEIC and AVIF files begin with four bytes of length, then one of these.
PHONE_FORMATS = [b"ftyp" + kind for kind in (b"heic", b"heix", b"mif1", b"avif", b"avis", b"hevc")]
LEAST_CONTRAST = 16  # levels of 255 between ink and background
LEAST_SIZE = 12  # pixels that a digit has to be high or wide, of the WORKING_SIDE
EDGE, SOLID = "ink at the edge of the picture", "more ink than a digit has"  # doubts
HAIRLINE, PEN = 1, 2  # pixels of the box: MNIST's thinnest and its usual stroke


class Reading(NamedTuple):
    """A digit as MNIST holds it, uint8 (1, 784); and why the ink may not be one digit, or ""."""

    pixels: np.ndarray
    doubt: str


def read_digit(path: str | os.PathLike) -> Reading:
    """The digit in an image file. Raises UserError, with the path, if none can be read."""
    colours = read_colours(path)
    readings = []
    for share_of_full_ink in (0.5, 0.75):  # lines on the paper may be almost as dark as the pen
        for ink_on in (ink_in_even_light, ink_in_any_light):
            reading = reading_of(colours, ink_on, share_of_full_ink)
            if reading is None:
                continue
            if not reading.doubt:
                return reading
            readings.append(reading)
    if not readings:
        raise UserError(f"{path}: no digit stands out from its background")
    return min(readings, key=lambda reading: reading.doubt == EDGE)  # the first without EDGE


def reading_of(
    colours: np.ndarray, ink_on: Callable[[np.ndarray], np.ndarray], share_of_full_ink: float
) -> Reading | None:
    """The digit in colours (height, width, 3), or None; `ink_on` tells ink from background."""
    doubt, looked_at = "", np.ones(colours.shape[:2], bool)
    # ink_in_any_light takes a stroke along the edge for a shadow and misses it.
    room = 0.0 if ink_on is ink_in_even_light else 1 / 3  # at the edge, in sizes of the digit
    # The second pass looks closer at what the first one found. There the light is more even, which
    # brings out fainter ink: the soft edges, which belong to the digit.
    for share in (share_of_full_ink, 0.8 * share_of_full_ink):
        ink = np.where(looked_at, ink_on(colours), 0)
        if ink.max() < LEAST_CONTRAST:
            return None
        digit, rest, other_sizes = only_the_digit(ink, share)
        top_left, bottom_right = bounds(digit)
        size = (bottom_right - top_left).max()
        if is_sheet(ink, top_left, bottom_right):
            doubt = SOLID  # unless the second pass finds a digit on the sheet
            looked_at, margin = np.ones(ink.shape, bool), -(size // 10)
        else:
            earlier = "" if doubt == SOLID else doubt
            doubt = earlier or doubt_about(digit, other_sizes, max(1, round(room * size)))
            looked_at, margin, room = ~near(rest, 2), size // 4 + 1, 0
        (top, left), (bottom, right) = np.maximum(top_left - margin, 0), bottom_right + margin
        colours = colours[top:bottom, left:right]
        looked_at = looked_at[top:bottom, left:right]
    ink = np.where(near(digit, size // 10 + 1), ink, 0)  # with its soft edges
    pixels = centred(fitted(ink, top_left, size)).reshape(1, SIDE * SIDE)
    return Reading(pixels, doubt)


def read_colours(path: str | os.PathLike) -> np.ndarray:
    """An image file as red, green and blue of 0 to 255, float64 (height, width, 3), upright.

    At most WORKING_SIDE high and wide. Raises UserError where there is no image to read.
    """
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such file")
    if not os.path.isfile(path):
        raise UserError(f"{path}: a folder, a pipe or a device; name an image file")
    try:
        image = upright(path)
    except UserError:
        raise
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


def upright(path: str | os.PathLike) -> Image.Image:
    """An image file in red, green, blue and opacity, turned as its camera says.

    Raises UserError where it is too large; otherwise whatever the decoder raises.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # it knows nothing of draft()
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as file:
            warnings.simplefilter("ignore")  # harmless flaws of a file
            if not file.info.get("progressive"):  # a JPEG that has to be decoded whole
                file.draft(None, (WORKING_SIDE, WORKING_SIDE))  # JPEG can decode only that much
            if file.width * file.height > MOST_PIXELS or max(file.size) > LONGEST_SIDE:
                pixels = f"{MOST_PIXELS // 10**6} million pixels or {LONGEST_SIDE:,} a side"
                raise UserError(f"{path}: larger than {pixels}; cut the digit out or shrink it")
            return shrunk(as_held(with_eight_bits(file))).convert("RGBA")
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def shrunk(image: Image.Image) -> Image.Image:
    """The image; if it is much larger than DECODED_SIDE, the means of its blocks of pixels."""
    factor = max(image.size) // DECODED_SIDE
    if factor < 2:
        return image
    if image.mode in ("1", "P"):  # whose numbers have no means
        image = image.convert("RGBA")
    small = image.reduce(factor)
    small.info = image.info
    return small


def with_eight_bits(image: Image.Image) -> Image.Image:
    """The image; grey of 16 or 32 bits is scaled to 0 to 255, its darkest to its lightest level."""
    if image.mode[0] not in "IF":
        return image
    step = max(1, max(image.size) // DECODED_SIDE)
    sides = [max(1, side // step) for side in image.size]
    few = image.resize(sides, Image.Resampling.NEAREST)
    levels = np.asarray(few, np.float64).copy()
    finite = np.isfinite(levels)
    levels[~finite] = np.median(levels[finite]) if finite.any() else 0
    levels -= levels.min()
    return Image.fromarray((levels * (255 / max(levels.max(), 1e-9))).astype(np.uint8))


def ink_in_even_light(colours: np.ndarray) -> np.ndarray:
    """How far each pixel is from the background towards the ink, in levels of 255, (height, width).

    The background is a surface of second degree for each colour, which follows uneven light. The
    fit starts at the border's median colour. The further a pixel is from the surface, the less it
    counts (iteratively reweighted least squares with the weights of Geman and McClure). Levels that
    noise alone can reach become 0.
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
    # Cubed, the few pixels that are far off (the ink) outweigh the many that are off a little.
    towards_ink = (difference * (difference**2).sum(axis=2, keepdims=True)).sum(axis=(0, 1))
    ink = difference @ towards_ink / max(np.linalg.norm(towards_ink) * channels**0.5, 1e-9)
    return above_noise(ink, border(ink))


def ink_in_any_light(colours: np.ndarray) -> np.ndarray:
    """As `ink_in_even_light`, but shadows may have edges: here ink is what is narrow.

    The background of dark ink is the closing of the colours by a square, that of light ink their
    opening (J. Serra, "Image Analysis and Mathematical Morphology", 1982). The square fits into a
    shadow, which stays in the background, but not into a stroke. The result is the ink, dark or
    light, that covers the larger area; the other one shows the gaps between its strokes. Ink in a
    shadow has less light to differ by, so it is amplified there.
    """
    width = max(colours.shape[:2]) * 35 // 100 + 1
    margins = (width, width), (width, width), (0, 0)  # the square may reach beyond the image
    inks = []
    for morphology, nothing in ((ndimage.grey_closing, -np.inf), (ndimage.grey_opening, np.inf)):
        wide = np.pad(colours, margins, constant_values=nothing)
        background = morphology(wide, size=(width, width, 1))[width:-width, width:-width]
        ink = np.abs(colours - background).mean(axis=2)
        ink -= np.median(ink)  # the extremes of noise
        inks.append(above_noise(ink, ink) * (255 / np.maximum(background.mean(axis=2), 64)))
    return max(inks, key=extent)


def above_noise(ink: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The ink, with 0 where the noise of the background could reach the same level."""
    noise = np.percentile(np.abs(background), 25) / 0.32  # the standard deviation, if normal
    return np.where(ink > 5 * noise, ink, 0)


def bounds(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box around a mask: (row, column) of its first pixel, and of its last pixel plus 1."""
    places = np.argwhere(mask)
    return places.min(axis=0), places.max(axis=0) + 1


def extent(ink: np.ndarray) -> int:
    """The area of the box around all strong ink, in pixels."""
    rows, columns = np.nonzero(ink > max(ink.max() / 2, LEAST_CONTRAST))
    return int((np.ptp(rows) + 1) * (np.ptp(columns) + 1)) if rows.size else 0


def only_the_digit(
    ink: np.ndarray, share_of_full_ink: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of the digit and of all other ink, and the sizes of the other pieces but frames.

    The further a piece is from the largest one, the larger it must be to count as a stroke.
    """
    full_ink = np.median(ink[ink > ink.max() / 2])
    labels, areas = connected(ink > share_of_full_ink * full_ink)
    boxes = np.array([[(a.start, a.stop) for a in box] for box in ndimage.find_objects(labels)])
    starts, ends = boxes[..., 0], boxes[..., 1]
    frame = np.array([is_frame(piece, labels, starts, ends) for piece in range(len(areas))])
    largest = np.argmax(np.where(frame, 0, areas))
    start, end = starts[largest], ends[largest]
    gaps = np.maximum(starts - end, start - ends).max(axis=1)
    stroke = ~frame & (areas / areas[largest] >= 0.1 * gaps / (end - start).max())
    digit = np.concatenate([[False], stroke])[labels]
    sizes = (ends - starts)[~stroke & ~frame].max(axis=1, initial=0)
    return digit, (labels > 0) & ~digit, sizes


def connected(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected pieces of a mask, diagonals included: labels from 1 (0: none), and areas."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel())[1:]


def is_frame(piece: int, labels: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> bool:
    """Whether a piece surrounds another of at least a third of its size without touching its box.

    starts, ends (pieces, 2): the boxes of all pieces; a piece's label is its position + 1.
    """
    start, end = starts[piece], ends[piece]
    within = ((starts > start) & (ends < end)).all(axis=1)
    large = 3 * (ends - starts - 1).max(axis=1) >= (end - start - 1).max()
    inner = zip(starts[within & large], ends[within & large], strict=True)
    return any(
        not (labels[top:bottom, left:right] == piece + 1).any()
        for (top, left), (bottom, right) in inner
    )


def doubt_about(digit: np.ndarray, other_sizes: np.ndarray, room: int) -> str:
    """Why a mask of the picture may not be one digit, or "".

    room: pixels that must be free between the digit and the edge of the picture.
    other_sizes: of the pieces of ink outside the digit, in pixels.
    """
    top_left, bottom_right = bounds(digit)
    height, width = bottom_right - top_left
    size = max(height, width)
    gap = size // BOX  # a stroke may be broken by so much, as some are in MNIST
    _, areas = connected(ndimage.maximum_filter(np.pad(digit, gap), gap + 1))
    box = digit[tuple(map(slice, top_left, bottom_right))]
    rim = gap + 1
    sides = box[:rim].any(0), box[-rim:].any(0), box[:, :rim].any(1), box[:, -rim:].any(1)
    if top_left.min() < room or (bottom_right > np.array(digit.shape) - room).any():
        return EDGE
    if 2 * min(height, width) > size and min(side.mean() for side in sides) > 0.9:
        return "a frame"  # touched by the digit, or empty
    if areas.sum() - areas.max() > 0.05 * areas.max():
        return "several pieces of ink"
    if (3 * (other_sizes - 1) >= size).any():
        return "several pieces of ink"
    if width > 1.8 * height:  # 1 in 1000 of MNIST's digits is wider than 1.75 times its height
        return "wider than a digit"
    return "smaller than a digit" if size < LEAST_SIZE else ""


def near(mask: np.ndarray, reach: int) -> np.ndarray:
    """The mask, widened by `reach` pixels to each side."""
    return ndimage.maximum_filter(mask, 2 * reach + 1, mode="constant")


def is_sheet(ink: np.ndarray, top_left: np.ndarray, bottom_right: np.ndarray) -> bool:
    """Whether the ink fills its box, as paper on a table does; among digits only a narrow 1 may."""
    height, width = bottom_right - top_left
    box = ink[tuple(map(slice, top_left, bottom_right))]
    return max(height, width) < 2 * min(height, width) and (box > ink.max() / 2).mean() > 0.75


def fitted(ink: np.ndarray, top_left: np.ndarray, size: int) -> np.ndarray:
    """(28, 28) with the digit, which is `size` pixels high or wide, scaled to the box.

    A hairline would fade when scaled down, so it is first widened to a pen's stroke.
    """
    strong = ink > ink.max() / 2
    inner = strong[1:, 1:] & strong[1:, :-1] & strong[:-1, 1:] & strong[:-1, :-1]
    stroke = strong.sum() / (strong.sum() - inner.sum())  # area by length
    pixel, widening, room = size / BOX, 0, 2 * size
    if stroke < HAIRLINE * pixel:
        widening = round((PEN * pixel - stroke) / 2)
        ink = np.minimum(ink, np.median(ink[strong]))  # a hairline is unevenly dark
    ink = ndimage.maximum_filter(np.pad(ink, room), 2 * widening + 1)
    pixel = (size + 2 * widening) / BOX
    top, left = top_left + room - widening - (SIDE - BOX) / 2 * pixel
    window = (left, top, left + SIDE * pixel, top + SIDE * pixel)
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize((SIDE, SIDE), SMOOTHLY, window), np.float64)


def centred(ink: np.ndarray) -> np.ndarray:
    """uint8 (28, 28): ink at full contrast, its centre of mass in pixel (14, 14) as in MNIST."""
    row, column = (round(middle) for middle in ndimage.center_of_mass(ink))
    around = np.pad(ink, SIDE)[row + SIDE // 2 :, column + SIDE // 2 :][:SIDE, :SIDE]
    return np.round(around * (255 / around.max())).astype(np.uint8)
