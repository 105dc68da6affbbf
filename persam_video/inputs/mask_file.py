"""Pixel values of a mask's image: of a file, or of a Pillow image."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageOps

from persam_video.errors import AnnotationError
from persam_video.files.images import open_image
from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE
from persam_video.inputs.mask_size import VideoSize
from persam_video.inputs.pixel_values import PixelValues, distinct
from persam_video.inputs.soft_edges import flat_pixels

logger = logging.getLogger(__name__)

_MAX_FLAT_COLOURS = 32
_HOW_TO_SAVE = "save it as an indexed (palette) or grey PNG whose pixel values are the object ids"
_ORIENTATION = 274  # EXIF tag


def read_values(path: Path, video: VideoSize) -> PixelValues:
    """Pixel values of a mask's file (`values_of_image`).

    Raises:
        AnnotationError: the file cannot be read, or has no values that can be object ids.
    """
    with open_image(path, AnnotationError, max_pixels=video.max_mask_pixels) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            logger.warning(f"{path}: only the first of its {getattr(image, 'n_frames', 1)} images is read")
        return values_of_image(image, str(path), video)


def values_of_image(image: PilImage.Image, name: str, video: VideoSize) -> PixelValues:
    """Pixel values of a mask's image.

    It is turned upright as its EXIF data demands, unless it fits the video only as it is. Values of an RGB image are
    derived from its colours. Of an image with transparent parts, in which every pixel is either opaque or transparent,
    the opaque ones are object 1; or they have the ids of their colours, if these are a few flat ones.

    Args:
        image: not loaded yet, so that the number of bits of its samples is known.
        name: of the image in messages.
        video: size of the video.

    Raises:
        AnnotationError: it has no values that can be object ids.
    """
    step = _grey_step(image)
    _refuse_uncompressed_turned_tiff(image, name)
    is_jpeg = image.format in ("JPEG", "MPO")
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        upright = ImageOps.exif_transpose(image)
        image = upright if video.fits(*upright.size) or not video.fits(*image.size) else image
    found = _values(image, name)
    if is_jpeg and len(distinct(found.values)) > 2:
        raise AnnotationError(
            f"{name} is a JPEG file, which changes pixel values near edges; {_HOW_TO_SAVE} (threshold this one first)"
        )
    if step > 1 and np.any((found.values != 0) & (found.values != 255)):  # black and white stays one object, id 1
        return PixelValues(found.values // np.uint8(step), "indexed")
    return found


def _refuse_uncompressed_turned_tiff(image: PilImage.Image, name: str) -> None:
    """Raise AnnotationError for a TIFF of which Pillow (13.0) mixes the pixels up: uncompressed and turned by 90°."""
    tiles = getattr(image, "tile", None)
    is_turned = image.format == "TIFF" and image.getexif().get(_ORIENTATION, 1) >= 5
    if is_turned and tiles and tiles[0][0] == "raw":
        raise AnnotationError(f"{name} is an uncompressed TIFF that is stored turned; {_HOW_TO_SAVE}, upright")


def _grey_step(image: PilImage.Image) -> int:
    """Factor by which Pillow multiplies the samples of 2- and 4-bit grey images as it loads them."""
    tiles = getattr(image, "tile", None)  # empty after loading
    raw_mode = tiles[0][3] if tiles else None
    if isinstance(raw_mode, tuple):
        raw_mode = raw_mode[0] if raw_mode else None
    return {"L;2": 85, "L;4": 17}.get(str(raw_mode), 1)


def _values(image: PilImage.Image, name: str) -> PixelValues:
    """Pixel values of a loaded image."""
    if _has_transparent_value(image):
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "PA", "RGBA"):
        alpha = np.array(image.getchannel("A"))
        if alpha.min() < 255:
            return _values_of_cutout(np.array(image.convert("RGB")), alpha, name)
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if image.mode == "P":
        values = np.array(image)
        palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
        _warn_of_inverted_palette(palette, values, name)
        return PixelValues(values, "grey" if _is_grey_ramp(palette, int(values.max())) else "indexed")
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return PixelValues(np.array(image), "grey")
    if image.mode != "RGB":
        raise AnnotationError(f"{name} is an image of mode {image.mode}; {_HOW_TO_SAVE}")
    return _values_of_colours(np.array(image), name)


def _has_transparent_value(image: PilImage.Image) -> bool:
    """Whether an image without alpha has pixels of a value, other than 0 or black, that counts as transparent."""
    transparent = image.info.get("transparency")
    if transparent is None or image.mode not in ("P", "L", "RGB"):
        return False
    if image.mode == "RGB":
        return bool(transparent != (0, 0, 0))
    if isinstance(transparent, bytes):  # alpha of each index
        return any(transparent[value] < 255 for value in distinct(np.array(image)) if 0 < value < len(transparent))
    return transparent != 0 and transparent in distinct(np.array(image))


def _values_of_cutout(colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], name: str) -> PixelValues:
    """Pixel values of an image with transparent parts, RGB, H×W×3, and its alpha, H×W."""
    levels = distinct(alpha)
    if levels == [0]:
        raise AnnotationError(f"{name} holds no object: it is transparent everywhere")
    if levels != [0, 255]:
        raise AnnotationError(
            f"{name} is partly transparent, with {len(levels)} levels of alpha (soft edges, or a layer that is not "
            f"opaque); make alpha 0 or 255 everywhere, or {_HOW_TO_SAVE}"
        )
    is_opaque = alpha == 255
    found, indices = _codes(np.where(is_opaque[..., None], colours, np.uint8(0)))
    opaque = np.unique(indices[is_opaque])
    if len(opaque) > _MAX_FLAT_COLOURS or (len(opaque) == 1 and found[opaque[0]] == 0):
        return PixelValues(is_opaque, "indexed")
    label_map = np.where(is_opaque, indices + 1, 0).astype(np.uint8)
    if len(distinct(label_map[flat_pixels(label_map) & is_opaque])) < len(opaque):  # a photograph
        return PixelValues(is_opaque, "indexed")
    if len(opaque) > 1 and found[opaque[0]] == 0:
        raise AnnotationError(
            f"{name} has opaque black beside other colours, and transparent parts: make it transparent if it is "
            f"background, or give it another colour if it is an object; or {_HOW_TO_SAVE}"
        )
    return _values_of_colours(np.where(is_opaque[..., None], colours, np.uint8(0)), name)


def _warn_of_inverted_palette(palette: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8], name: str) -> None:
    """Warn of a palette in which another value than 0 is black: object and background may be swapped.

    Some programs reorder the palette, so that a black background is not 0.
    """
    used = [value for value in distinct(values) if value < len(palette)]
    black = [value for value in used if not palette[value].any()]
    if 0 in used and black and 0 not in black:
        logger.warning(
            f"{name}: value 0, which is the background, is not black in the palette, but {black[0]} is; "
            "the values are used, not the colours"
        )


def _is_grey_ramp(palette: npt.NDArray[np.uint8], last: int) -> bool:
    """Whether every value up to the last is the grey of that value: a grey image, saved as an indexed one."""
    return len(palette) > last and bool(np.all(palette[: last + 1] == np.arange(last + 1)[:, None]))


def _codes(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """Colours of an RGB image, H×W×3, as ascending numbers 0xRRGGBB, and the index of each pixel's, H×W."""
    codes = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    found, indices = np.unique(codes, return_inverse=True)
    return found, indices.reshape(codes.shape)  # flat in some versions of numpy


def _values_of_colours(image: npt.NDArray[np.uint8], name: str) -> PixelValues:
    """Pixel values of an RGB image, H×W×3, that can only be a label map."""
    if np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2]):
        return PixelValues(np.ascontiguousarray(image[..., 0]), "grey")
    found, indices = _codes(image)
    for palette in (DAVIS_PALETTE, VOC_PALETTE):
        # in reverse, so that of two ids with one colour (7 and 128) the smaller one is used
        id_of = {(int(r) << 16) | (int(g) << 8) | int(b): i for i, (r, g, b) in reversed(list(enumerate(palette)))}
        if all(int(code) in id_of for code in found):
            return PixelValues(np.array([id_of[int(code)] for code in found], dtype=np.uint8)[indices], "indexed")
    if found[0] != 0 or not 1 < len(found) <= _MAX_FLAT_COLOURS + 1:
        raise AnnotationError(
            f"{name} is an image of {len(found)} colours, not of a few flat ones on black; {_HOW_TO_SAVE}"
        )
    label_map = indices.astype(np.uint8)
    if len(distinct(label_map[flat_pixels(label_map) | (label_map == 0)])) < len(found):
        raise AnnotationError(f"{name} is a colour image, and some of its colours occur on edges only; {_HOW_TO_SAVE}")
    ids = ", ".join(f"#{int(code):06x} = {i}" for i, code in enumerate(found[1:], start=1))
    logger.warning(f"{name} is a colour image; its colours became the object ids {ids}")
    return PixelValues(label_map, "indexed")
