"""Masks of the first frame, from files or an array, as one checked label map."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from persam_video.errors import AnnotationError
from persam_video.files.images import image_files, open_image
from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE
from persam_video.frame import IGNORE_ID, MAX_OBJECT_ID, LabelMap
from persam_video.messages import one_line, pluralize

logger = logging.getLogger(__name__)

_MASK_SUFFIXES = (".png", ".bmp", ".gif", ".pgm", ".tif", ".tiff")
_MAX_FLAT_COLOURS = 32
_HOW_TO_SAVE = "save it as an indexed (palette) or grey PNG whose pixel values are the object ids"

_Values = npt.NDArray[np.integer | np.bool_]
"""Pixel values of a file, H×W, not checked."""


def load_first_masks(sources: Sequence[str | Path], *, width: int, height: int) -> LabelMap:
    """Label map of a frame from its mask files.

    Pixel values are object ids: 0 background, 1 to 254 objects, 255 ignore. An image with no other values than
    0 and 255 is one object, id 1, as in DAVIS-2016. An RGB image is read if it is grey, if all its colours are of
    DAVIS' or VOC's palette, or if it has flat colours on black: these become ids 1, 2, ... by ascending
    (red, green, blue), and a warning is logged with the id of each colour.

    Args:
        sources: one image file; or one folder, whose first image file in natural order is read; or several image
            files of one object each (0 = background, one other value), which become ids 1, 2, ... in this order.
            Where two of these overlap, the later one wins, and a warning is logged.
        width: of the video, pixels.
        height: of the video, pixels.

    Returns:
        Label map, uint8, height×width; 0 = background, 1 to 254 = object ids, 255 = ignore.

    Raises:
        AnnotationError: a file cannot be read, has other pixel values than these, has soft (anti-aliased) edges,
            holds no object, or has not the aspect ratio of the video.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    paths = [Path(source) for source in sources]
    if not paths:
        raise AnnotationError("no first mask was given: it must be one or several image files, or a folder of masks")
    if len(paths) == 1:
        path = _first_file(paths[0]) if paths[0].is_dir() else paths[0]
        return check_label_map(_read_values(path), width=width, height=height, name=str(path))
    if len(paths) > MAX_OBJECT_ID:
        raise AnnotationError(f"{len(paths)} first masks were given: {MAX_OBJECT_ID} objects at most can be tracked")
    return _merge([_read_one_object(path, width=width, height=height) for path in paths], paths)


def check_label_map(label_map: npt.ArrayLike, *, width: int, height: int, name: str = "the first mask") -> LabelMap:
    """Checked copy of a frame's label map, resized to the video's size if it has only the aspect ratio.

    A map with no other values than 0 and 255 (or 0 and 65535) is one object, id 1. A map of another size is resized
    by nearest neighbour, with a logged warning, if its aspect ratio is the video's: scaled to the video's width or
    height, its other side differs by at most 1.5 pixels (of the coarser of the two).

    Args:
        label_map: bool (True = object 1) or any integer type, H×W; 0 background, 1 to 254 object ids, 255 ignore.
        width: of the video, pixels.
        height: of the video, pixels.
        name: of the map in messages, usually its path.

    Returns:
        A new label map, uint8, height×width.

    Raises:
        AnnotationError: wrong type, shape, values or aspect ratio; soft (anti-aliased) edges; no object; or an object
            without a pixel after resizing.
    """
    values = np.asarray(label_map)
    if values.ndim != 2 or values.size == 0:
        raise AnnotationError(f"{name} has the shape {values.shape}; a label map must be height×width")
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.integer):
        raise AnnotationError(f"{name} is of type {values.dtype}; a label map must be bool or of an integer type")
    ids = _as_ids(values, name)
    _refuse_soft_edges(ids, name)
    return _resize(ids, width=width, height=height, name=name)


def _first_file(folder: Path) -> Path:
    """First mask file of a folder such as DAVIS' Annotations/480p/<sequence>."""
    try:
        files = image_files(folder.iterdir(), _MASK_SUFFIXES)
    except OSError as error:
        raise AnnotationError(f"{folder} cannot be read ({one_line(error)})") from error
    if not files:
        raise AnnotationError(
            f"{folder} holds no mask; it must hold image files such as 00000.png, of which the first one is read"
        )
    return files[0]


# ---- several files of one object each ----


def _read_one_object(path: Path, *, width: int, height: int) -> LabelMap:
    """Mask of one object from its own file, 0 and 1, uint8, height×width."""
    if path.is_dir():
        raise AnnotationError(f"{path} is a folder; give either one folder, or several image files of one object each")
    values = _read_values(path)
    found = _distinct(values)
    if found == [0]:
        raise AnnotationError(f"{path} holds no object: all its pixels are 0, the background")
    if len(found) != 2 or found[0] != 0:
        if found[0] >= 0 and found[-1] <= 255:
            _refuse_soft_edges(values.astype(np.uint8), str(path))
        some = ", ".join(str(value) for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise AnnotationError(
            f"{path} has the pixel values {some}; where several first masks are given, each must be of one object: "
            "0 = background and one other value"
        )
    return check_label_map(values != 0, width=width, height=height, name=str(path))


def _merge(masks: list[LabelMap], paths: list[Path]) -> LabelMap:
    """Label map with ids 1, 2, ... for masks, uint8, H×W, in their order; a later mask covers those before it."""
    for (a, first), (b, second) in combinations(zip(masks, paths, strict=True), 2):
        if shared := int(np.count_nonzero(a & b)):
            logger.warning(
                f"{first} and {second} overlap in {pluralize(shared, 'pixel')}: {second}, the later one, has them"
            )
    label_map = np.zeros_like(masks[0])
    for object_id, mask in enumerate(masks, start=1):
        label_map[mask != 0] = object_id
    for object_id, path in enumerate(paths, start=1):
        if not np.any(label_map == object_id):
            raise AnnotationError(f"{path} has no pixel left: the masks given after it cover its object entirely")
    return label_map


# ---- from a file to pixel values ----


def _read_values(path: Path) -> _Values:
    """Pixel values of a file, H×W: those of an RGB image are derived from its colours."""
    with open_image(path, AnnotationError) as image:
        is_jpeg = image.format in ("JPEG", "MPO")
        grey_step = _grey_step(image)
        image.load()
    values = _values(image, path)
    if is_jpeg and len(_distinct(values)) > 2:
        raise AnnotationError(
            f"{path} is a JPEG file, which changes pixel values near edges; {_HOW_TO_SAVE} (threshold this one first)"
        )
    if grey_step > 1 and np.any((values != 0) & (values != 255)):  # black and white stays one object, id 1
        values = values // np.uint8(grey_step)
    return values


def _grey_step(image: PilImage.Image) -> int:
    """Factor by which Pillow multiplies the samples of 2- and 4-bit grey images as it loads them."""
    tiles = getattr(image, "tile", None)  # empty after loading
    raw_mode = tiles[0][3] if tiles else None
    if isinstance(raw_mode, tuple):
        raw_mode = raw_mode[0] if raw_mode else None
    return {"L;2": 85, "L;4": 17}.get(str(raw_mode), 1)


def _values(image: PilImage.Image, path: Path) -> _Values:
    """Pixel values of a loaded image, H×W."""
    if image.mode == "P":
        values = np.array(image)
        _warn_of_inverted_palette(image, values, path)
        return values
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.array(image)
    if image.mode in ("LA", "PA", "RGBA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise AnnotationError(f"{path} is partly transparent; {_HOW_TO_SAVE}")
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if image.mode == "L":
        return np.array(image)
    if image.mode != "RGB":
        raise AnnotationError(f"{path} is an image of mode {image.mode}; {_HOW_TO_SAVE}")
    return _values_of_colours(np.array(image), path)


def _warn_of_inverted_palette(image: PilImage.Image, values: npt.NDArray[np.uint8], path: Path) -> None:
    """Warn of a palette in which another value than 0 is black: object and background may be swapped.

    Some programs reorder the palette, so that a black background is not 0.
    """
    colours = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = [value for value in _distinct(values) if value < len(colours)]
    black = [value for value in used if not colours[value].any()]
    if 0 in used and black and 0 not in black:
        logger.warning(
            f"{path}: value 0, which is the background, is not black in the palette, but {black[0]} is; "
            "the values are used, not the colours"
        )


def _values_of_colours(image: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    """Object ids, uint8, H×W, from an RGB image, H×W×3, that can only be a label map."""
    if np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2]):
        return np.ascontiguousarray(image[..., 0])
    codes = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found, indices = np.unique(codes, return_inverse=True)
    indices = indices.reshape(codes.shape)  # flat in some versions of numpy
    for palette in (DAVIS_PALETTE, VOC_PALETTE):
        # in reverse, so that of two ids with one colour (7 and 128) the smaller one is used
        id_of = {(int(r) << 16) | (int(g) << 8) | int(b): i for i, (r, g, b) in reversed(list(enumerate(palette)))}
        if all(int(code) in id_of for code in found):
            return np.array([id_of[int(code)] for code in found], dtype=np.uint8)[indices]
    if found[0] != 0 or not 1 < len(found) <= _MAX_FLAT_COLOURS + 1:
        raise AnnotationError(
            f"{path} is an image of {len(found)} colours, not of a few flat ones on black; {_HOW_TO_SAVE}"
        )
    label_map = indices.astype(np.uint8)
    if len(_distinct(label_map[_is_flat(label_map) | (label_map == 0)])) < len(found):
        raise AnnotationError(f"{path} is a colour image, and some of its colours occur on edges only; {_HOW_TO_SAVE}")
    ids = ", ".join(f"#{int(code):06x} = {i}" for i, code in enumerate(found[1:], start=1))
    logger.warning(f"{path} is a colour image; its colours became the object ids {ids}")
    return label_map


# ---- checks ----


def _as_ids(values: _Values, name: str) -> LabelMap:
    """Object ids, a new array, uint8, H×W, of pixel values.

    Raises:
        AnnotationError: a value is not an object id, or there is no object.
    """
    found = _distinct(values)
    if found in ([0, 255], [0, 65535]):
        return np.array(values != 0, dtype=np.uint8)
    if found[0] < 0 or found[-1] > IGNORE_ID:
        wrong = found[0] if found[0] < 0 else found[-1]
        raise AnnotationError(
            f"{name} has the pixel value {wrong}, which is not an object id; "
            f"they are 1 to {MAX_OBJECT_ID}, 0 is the background and {IGNORE_ID} is ignored"
        )
    if set(found) <= {0, IGNORE_ID}:
        only = "0, the background" if found[0] == 0 else f"{IGNORE_ID}, which is ignored"
        raise AnnotationError(f"{name} holds no object: all its pixels are {only}")
    return values.astype(np.uint8)


def _is_flat(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels whose 3×3 neighbourhood has one value, bool, H×W."""
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = np.asarray(cv2.erode(values, kernel)), np.asarray(cv2.dilate(values, kernel))
    return np.equal(smallest, largest)


def _refuse_soft_edges(values: npt.NDArray[np.uint8], name: str) -> None:
    """Raise AnnotationError for values that seem to be shades."""
    if _has_soft_edges(values):
        raise AnnotationError(
            f"{name} has soft edges (anti-aliased, resized smoothly, or saved as JPEG once): {len(_distinct(values))} "
            "pixel values, most of them only on edges; threshold it, or save it anew without anti-aliasing, as an "
            "indexed or grey PNG whose pixel values are the object ids"
        )


def _has_soft_edges(values: npt.NDArray[np.uint8]) -> bool:
    """Whether grey values seem to be shades between objects and background rather than object ids.

    An object has a flat inside, or is at least a line. A shade occurs only *between* a smaller and a larger value (the
    slope of a soft edge), or in *specks* (JPEG's ringing, noise). A single such value may be an unusual object, so
    there must be several, and most of the values must be such.

    Args:
        values: uint8, H×W.
    """
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = cv2.erode(values, kernel), cv2.dilate(values, kernel)  # of the 3×3 around each pixel

    def count(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(values[mask], minlength=256)

    pixels = np.bincount(values.ravel(), minlength=256)
    is_flat = count(smallest == largest) > 0
    is_between = count((smallest < values) & (values < largest)) >= 0.9 * pixels
    neighbours = _equal_neighbours(values)  # a line has 2 for each pixel, specks have fewer
    is_speck = neighbours < 1.5 * pixels

    present = pixels > 0
    present[0] = False
    others = present.copy()
    others[255] = False
    between, specks = present & is_between, present & is_speck
    most = present.sum() / 2

    # A white object with shades around it: only 255 could be an object, but as an id it is ignored.
    if others.any() and pixels[255] > 8:
        if not np.any(others & (is_flat | ~(is_between | is_speck | (pixels < 8)))):
            return True
        if others.sum() >= 3 and is_flat[255] and not np.any(others & is_flat) and pixels[255] > pixels[others].sum():
            return True
    # A slope leads up to something flat, or is made of single pixels; lines of ids 1, 2, 3 ... side by side do neither.
    slope = bool(np.any(present & is_flat)) or neighbours[between].sum() < 1.5 * pixels[between].sum()
    if slope and between.sum() >= 3 and (between | specks).sum() >= most:
        return True
    scattered = specks & (pixels >= 8)  # fewer pixels may be a small object
    return bool(scattered.sum() >= 8 and scattered.sum() >= most)


def _equal_neighbours(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """For each value, the number of pairs of 8-connected pixels that have it, counted from both; int64, 256."""
    total = np.zeros(256, dtype=np.int64)
    for a, b in (
        (values[1:], values[:-1]),
        (values[:, 1:], values[:, :-1]),
        (values[1:, 1:], values[:-1, :-1]),
        (values[1:, :-1], values[:-1, 1:]),
    ):
        total += 2 * np.bincount(a[a == b], minlength=256)
    return total


# ---- size ----


def _resize(ids: LabelMap, *, width: int, height: int, name: str) -> LabelMap:
    """Label map resized by nearest neighbour, uint8, height×width; itself if it has that size.

    Raises:
        AnnotationError: it has another aspect ratio, or an object has no pixel left.
    """
    mask_height, mask_width = ids.shape
    if (mask_width, mask_height) == (width, height):
        return ids
    sizes = f"{name} is {mask_width}×{mask_height} pixels, the video is {width}×{height}"
    if not _same_aspect(mask_width, mask_height, width, height):
        if _same_aspect(mask_height, mask_width, width, height):
            raise AnnotationError(
                f"{sizes}: width and height are swapped, so it seems to be drawn on the video before it was turned "
                "upright; turn the mask as the video is turned when it is played"
            )
        raise AnnotationError(f"{sizes}; it must have the video's size, or at least its aspect ratio")
    rows = (np.arange(height) + 0.5) * (mask_height / height)
    columns = (np.arange(width) + 0.5) * (mask_width / width)
    resized = np.ascontiguousarray(ids[rows.astype(np.intp)[:, None], columns.astype(np.intp)])
    if lost := sorted(set(_distinct(ids)) - set(_distinct(resized)) - {0, IGNORE_ID}):
        what = f"object {lost[0]} has" if len(lost) == 1 else f"objects {', '.join(map(str, lost))} have"
        raise AnnotationError(f"{sizes}, and {what} no pixel left after resizing; draw the mask in the video's size")
    logger.warning(f"{sizes}: it was resized to that, by nearest neighbour")
    return resized


def _same_aspect(mask_width: int, mask_height: int, width: int, height: int) -> bool:
    """Whether one size is the other scaled, within 1.5 pixels of the coarser one (sides are rounded, often to even)."""
    x_scale, y_scale = width / mask_width, height / mask_height
    return (
        abs(mask_height * x_scale - height) <= 1.5 * max(1.0, x_scale)
        or abs(mask_width * y_scale - width) <= 1.5 * max(1.0, y_scale)
    )  # fmt: skip


def _distinct(values: _Values) -> list[int]:
    """Values that occur, in ascending order."""
    if values.dtype in (np.uint8, np.bool_):  # much faster than sorting
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=1))]
    return [int(value) for value in np.unique(values)]
