"""The first frame's masks: from picture files or an array to one checked label map."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from persam_video.errors import AnnotationError
from persam_video.files.images import natural_key
from persam_video.files.palette_png import DAVIS_PALETTE, IMAGE_ERRORS, VOC_PALETTE
from persam_video.frame import IGNORE_ID, MAX_OBJECT_ID, LabelMap
from persam_video.messages import one_line, pluralize

_MASK_SUFFIXES = (".png", ".bmp", ".gif", ".pgm", ".tif", ".tiff")
_MAX_FLAT_COLOURS = 32
_HOW_TO_SAVE = "save it as an indexed (palette) or grey PNG whose pixel values are the object ids"

_Values = npt.NDArray[np.integer | np.bool_]
"""Pixel values as a file holds them, H×W, not checked yet."""


def load_first_masks(sources: Sequence[str | Path], *, width: int, height: int) -> LabelMap:
    """Read the masks of a video's first frame.

    Pixel values are object ids: 0 background, 1 to 254 objects, 255 ignore. A picture with no other values than
    0 and 255 is one object, id 1, as in DAVIS-2016. A picture saved as RGB is read if it is grey, if all its
    colours are of DAVIS' or VOC's palette, or if it has flat colours on black: these become ids 1, 2, ... by
    ascending (red, green, blue), and a warning says which became which.

    Args:
        sources: one picture; or one folder, whose first picture in natural order is taken; or several pictures of
            one object each (0 = background, one other value), which become ids 1, 2, ... in this order. Where two
            of these overlap, the later one has the pixels, and a warning says so.
        width: the video's width in pixels.
        height: the video's height in pixels.

    Returns:
        Label map, uint8, height×width; 0 = background, 1 to 254 = object ids, 255 = ignore.

    Raises:
        AnnotationError: a file cannot be read, does not hold what is said above, has soft (anti-aliased) edges,
            holds no object, or is not of the video's size or at least of its aspect ratio.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    paths = [Path(source) for source in sources]
    if not paths:
        raise AnnotationError("no first mask was given: it must be one or several pictures, or a folder of masks")
    if len(paths) == 1:
        path = _first_picture(paths[0]) if paths[0].is_dir() else paths[0]
        return check_label_map(_read_values(path), width=width, height=height, name=str(path))
    if len(paths) > MAX_OBJECT_ID:
        raise AnnotationError(f"{len(paths)} first masks were given: {MAX_OBJECT_ID} objects at most can be tracked")
    return _merge([_read_one_object(path, width=width, height=height) for path in paths], paths)


def check_label_map(label_map: npt.ArrayLike, *, width: int, height: int, name: str = "the first mask") -> LabelMap:
    """Check a first frame's label map, and bring it to the video's size if only that differs.

    A map with no other values than 0 and 255 (or 0 and 65535) is one object, id 1. A map of another size is resized
    by nearest neighbour, with a warning, if its aspect ratio is the video's: scaled to the video's width or height,
    its other side is within 1.5 pixels (of the coarser of the two) of the video's.

    Args:
        label_map: bool (True = object 1) or any integer type, H×W; 0 background, 1 to 254 object ids, 255 ignore.
        width: the video's width in pixels.
        height: the video's height in pixels.
        name: what messages call the map: a path, usually.

    Returns:
        A new label map, uint8, height×width.

    Raises:
        AnnotationError: wrong type, shape, values or aspect ratio; soft (anti-aliased) edges; no object; or an object
            that has no pixel left after resizing.
    """
    values = np.asarray(label_map)
    if values.ndim != 2 or values.size == 0:
        raise AnnotationError(f"{name} has the shape {values.shape}; a label map must be height×width")
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.integer):
        raise AnnotationError(f"{name} is of type {values.dtype}; a label map must be bool or of an integer type")
    ids = _as_ids(values, name)
    _refuse_soft_edges(ids, name)
    return _resize(ids, width=width, height=height, name=name)


def _first_picture(folder: Path) -> Path:
    """The first annotation of a folder such as DAVIS' Annotations/480p/<sequence>."""
    try:
        pictures = [p for p in folder.iterdir() if p.suffix.lower() in _MASK_SUFFIXES and not p.name.startswith(".")]
    except OSError as error:
        raise AnnotationError(f"{folder} cannot be read ({one_line(error)})") from error
    if not pictures:
        raise AnnotationError(
            f"{folder} holds no mask; it must hold pictures such as 00000.png, of which the first one is taken"
        )
    return min(pictures, key=lambda path: natural_key(path.name))


# ---- several pictures of one object each ----


def _read_one_object(path: Path, *, width: int, height: int) -> LabelMap:
    """One object's picture, as a map of 0 and 1 of the video's size."""
    if path.is_dir():
        raise AnnotationError(f"{path} is a folder; give either one folder, or several pictures of one object each")
    values = _read_values(path)
    found = _distinct(values)
    if found == [0]:
        raise AnnotationError(f"{path} holds no object: all its pixels are 0, the background")
    if len(found) != 2 or found[0] != 0:
        if found[0] >= 0 and found[-1] <= 255:
            _refuse_soft_edges(values.astype(np.uint8), str(path))
        some = ", ".join(str(value) for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise AnnotationError(
            f"{path} has the pixel values {some}; where several first masks are given, each must be a picture of one "
            "object: 0 = background and one other value"
        )
    return check_label_map(values != 0, width=width, height=height, name=str(path))


def _merge(masks: list[LabelMap], paths: list[Path]) -> LabelMap:
    for (a, first), (b, second) in combinations(zip(masks, paths, strict=True), 2):
        if shared := int(np.count_nonzero(a & b)):
            _warn(f"{first} and {second} overlap in {pluralize(shared, 'pixel')}: {second}, the later one, has them")
    label_map = np.zeros_like(masks[0])
    for object_id, mask in enumerate(masks, start=1):
        label_map[mask != 0] = object_id
    for object_id, path in enumerate(paths, start=1):
        if not np.any(label_map == object_id):
            raise AnnotationError(f"{path} has no pixel left: the masks given after it cover its object entirely")
    return label_map


# ---- from a file to pixel values ----


def _read_values(path: Path) -> _Values:
    """The values of a picture's pixels, H×W; those of a colour picture are made from its colours."""
    try:
        with PilImage.open(path) as picture:
            is_jpeg = picture.format in ("JPEG", "MPO")
            grey_step = _grey_step(picture)
            picture.load()
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file; the first mask must be a picture, or a folder of masks") from None
    except UnidentifiedImageError:
        raise AnnotationError(f"{path} is no picture that can be read; a mask must be a PNG or the like") from None
    except IMAGE_ERRORS as error:
        raise AnnotationError(f"{path} cannot be read ({one_line(error)}); a mask must be a whole picture") from error
    values = _values(picture, path)
    if is_jpeg and len(_distinct(values)) > 2:
        raise AnnotationError(
            f"{path} is a JPEG file, which changes pixel values near edges; {_HOW_TO_SAVE} (threshold this one first)"
        )
    if grey_step > 1 and np.any((values != 0) & (values != 255)):  # a black and white one is one object, id 1
        values = values // np.uint8(grey_step)
    return values


def _grey_step(picture: PilImage.Image) -> int:
    """By what Pillow multiplies the samples of 2- and 4-bit grey pictures when it loads them."""
    tiles = getattr(picture, "tile", None)  # gone once the picture is loaded
    raw_mode = tiles[0][3] if tiles else None
    if isinstance(raw_mode, tuple):
        raw_mode = raw_mode[0] if raw_mode else None
    return {"L;2": 85, "L;4": 17}.get(str(raw_mode), 1)


def _values(picture: PilImage.Image, path: Path) -> _Values:
    if picture.mode == "P":
        values = np.array(picture)
        _warn_of_inverted_palette(picture, values, path)
        return values
    if picture.mode in ("1", "L") or picture.mode.startswith("I"):
        return np.array(picture)
    if picture.mode in ("LA", "PA", "RGBA"):
        if picture.getchannel("A").getextrema() != (255, 255):
            raise AnnotationError(f"{path} is partly transparent; {_HOW_TO_SAVE}")
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    if picture.mode == "L":
        return np.array(picture)
    if picture.mode != "RGB":
        raise AnnotationError(f"{path} is a picture of mode {picture.mode}; {_HOW_TO_SAVE}")
    return _values_of_colours(np.array(picture), path)


def _warn_of_inverted_palette(picture: PilImage.Image, values: npt.NDArray[np.uint8], path: Path) -> None:
    """Some programs sort the palette as they like; an object in black on white is then often the background."""
    colours = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = [value for value in _distinct(values) if value < len(colours)]
    black = [value for value in used if not colours[value].any()]
    if 0 in used and black and 0 not in black:
        _warn(
            f"{path}: value 0, which is the background, is not black in the palette, but {black[0]} is; "
            "it is the values that count, not the colours"
        )


def _values_of_colours(image: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    """Object ids from an RGB picture, H×W×3, if it can only be a label map."""
    if np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2]):
        return np.ascontiguousarray(image[..., 0])
    codes = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found, where = np.unique(codes, return_inverse=True)
    where = where.reshape(codes.shape)  # numpy 2.0 gives it flat, or not
    for palette in (DAVIS_PALETTE, VOC_PALETTE):
        # ids backwards, so that of two ids with one colour (7 and 128) the smaller one stays
        id_of = {(int(r) << 16) | (int(g) << 8) | int(b): i for i, (r, g, b) in reversed(list(enumerate(palette)))}
        if all(int(code) in id_of for code in found):
            return np.array([id_of[int(code)] for code in found], dtype=np.uint8)[where]
    if found[0] != 0 or not 1 < len(found) <= _MAX_FLAT_COLOURS + 1:
        raise AnnotationError(
            f"{path} is a picture of {len(found)} colours, not of a few flat ones on black; {_HOW_TO_SAVE}"
        )
    label_map = where.astype(np.uint8)
    if len(_distinct(label_map[_is_flat(label_map) | (label_map == 0)])) < len(found):
        raise AnnotationError(
            f"{path} is a colour picture, and some of its colours occur on edges only; {_HOW_TO_SAVE}"
        )
    ids = ", ".join(f"#{int(code):06x} = {i}" for i, code in enumerate(found[1:], start=1))
    _warn(f"{path} is a colour picture; its colours became the object ids {ids}")
    return label_map


# ---- checks ----


def _as_ids(values: _Values, name: str) -> LabelMap:
    """Pixel values as object ids, a new array; refuses what is none."""
    found = _distinct(values)
    if found in ([0, 255], [0, 65535]):
        return np.array(values != 0, dtype=np.uint8)
    if found[0] < 0 or found[-1] > IGNORE_ID:
        wrong = found[0] if found[0] < 0 else found[-1]
        raise AnnotationError(
            f"{name} has the pixel value {wrong}, which is no object id; "
            f"they are 1 to {MAX_OBJECT_ID}, 0 is the background and {IGNORE_ID} is ignored"
        )
    if set(found) <= {0, IGNORE_ID}:
        only = "0, the background" if found[0] == 0 else f"{IGNORE_ID}, which is ignored"
        raise AnnotationError(f"{name} holds no object: all its pixels are {only}")
    return values.astype(np.uint8)


def _is_flat(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where all pixels of the 3×3 around a pixel have its value."""
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = np.asarray(cv2.erode(values, kernel)), np.asarray(cv2.dilate(values, kernel))
    return np.equal(smallest, largest)


def _refuse_soft_edges(values: npt.NDArray[np.uint8], name: str) -> None:
    if _has_soft_edges(values):
        raise AnnotationError(
            f"{name} has soft edges (anti-aliased, resized smoothly, or saved as JPEG once): {len(_distinct(values))} "
            "pixel values, most of them only on edges; threshold it, or save it anew without anti-aliasing, as an "
            "indexed or grey PNG whose pixel values are the object ids"
        )


def _has_soft_edges(values: npt.NDArray[np.uint8]) -> bool:
    """Whether grey values seem to be shades between objects and background rather than object ids.

    An object has a flat inside, or is at least a line of its own. A shade is found only *between* a smaller and a
    larger value (the slope of a soft edge), or in *specks* (JPEG's ringing, noise). One such value may be an odd
    object; a label map is taken for a soft one only if most of its values are shades, several of them.

    Args:
        values: uint8, H×W.
    """
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = cv2.erode(values, kernel), cv2.dilate(values, kernel)  # of the 3×3 around each pixel

    def count(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(values[where], minlength=256)

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

    # A white object with shades around it: nothing but 255 looks like an object, and that would be ignored.
    if others.any() and pixels[255] > 8:
        if not np.any(others & (is_flat | ~(is_between | is_speck | (pixels < 8)))):
            return True
        if others.sum() >= 3 and is_flat[255] and not np.any(others & is_flat) and pixels[255] > pixels[others].sum():
            return True
    # A slope leads up to something flat, or is made of single pixels; lines of ids 1, 2, 3 ... side by side do neither.
    slope = bool(np.any(present & is_flat)) or neighbours[between].sum() < 1.5 * pixels[between].sum()
    if slope and between.sum() >= 3 and (between | specks).sum() >= most:
        return True
    scattered = specks & (pixels >= 8)  # an object of a few pixels is no noise
    return bool(scattered.sum() >= 8 and scattered.sum() >= most)


def _equal_neighbours(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """For each value, how many of its pixels' 8 neighbours have the same value, in all; int64, 256."""
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
    _warn(f"{sizes}: it was resized to that, by nearest neighbour")
    return resized


def _same_aspect(mask_width: int, mask_height: int, width: int, height: int) -> bool:
    """Whether a size is another one scaled, up to 1.5 pixels of the coarser one (sides are rounded, often to even)."""
    x_scale, y_scale = width / mask_width, height / mask_height
    return (
        abs(mask_height * x_scale - height) <= 1.5 * max(1.0, x_scale)
        or abs(mask_width * y_scale - width) <= 1.5 * max(1.0, y_scale)
    )  # fmt: skip


def _distinct(values: _Values) -> list[int]:
    """The values that occur, in ascending order."""
    if values.dtype in (np.uint8, np.bool_):  # much faster than sorting them
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=1))]
    return [int(value) for value in np.unique(values)]


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)
