"""Palette PNG files: the pixel values are object ids, the palette only serves to display them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from persam_video.errors import InputError
from persam_video.files.images import open_image
from persam_video.frame import LabelMap

Palette = npt.NDArray[np.uint8]
"""RGB colour of every id, uint8, 256×3."""


def _voc_palette() -> Palette:
    """PASCAL VOC's colour map: bit 3k of the id is red's bit 7-k, bit 3k+1 green's, bit 3k+2 blue's."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((ids >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


def _davis_palette() -> Palette:
    """The palette of DAVIS-2017's files: VOC's colours (with 191 for 192) up to id 21, plain greys from there on."""
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    palette[:22] = np.where(VOC_PALETTE[:22] == 192, 191, VOC_PALETTE[:22])
    return palette


VOC_PALETTE = _voc_palette()
"""PASCAL VOC's colour map, uint8 256×3, read-only; some of DAVIS' own files have it."""
VOC_PALETTE.flags.writeable = False

DAVIS_PALETTE = _davis_palette()
"""The palette of DAVIS-2017's annotations and of the masks written here, uint8 256×3, read-only."""
DAVIS_PALETTE.flags.writeable = False

_DAVIS_BYTES = DAVIS_PALETTE.tobytes()
_MASK_PALETTES = (_DAVIS_BYTES, VOC_PALETTE.tobytes())

# Raised by Pillow for the header of a file that is not an image, or is damaged.
_HEADER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, PilImage.DecompressionBombError)


def write_palette_png(file: str | Path | BinaryIO, label_map: LabelMap) -> None:
    """Write a label map as an 8-bit indexed PNG with DAVIS' palette.

    Args:
        file: path, or a binary file open for writing.
        label_map: uint8, H×W; every value 0 to 255 is kept as it is.

    Raises:
        ValueError: the label map is not a uint8 H×W array, or has no pixels.
        OSError: the file cannot be written.
    """
    if label_map.ndim != 2 or label_map.dtype != np.uint8 or label_map.size == 0:
        raise ValueError(f"a label map must be uint8, H×W; got {label_map.dtype} of shape {label_map.shape}")
    image = PilImage.fromarray(label_map)
    image.putpalette(_DAVIS_BYTES)  # makes the grey image an indexed one, values untouched
    image.save(file, format="PNG", compress_level=1)  # a third of the time of Pillow's default


def read_palette_png(path: str | Path) -> LabelMap:
    """Label map of an indexed, 8-bit grey or black and white (0 and 1) PNG: its pixel values as they are, uint8, H×W.

    Raises:
        InputError: the file does not exist, is not an image, or is not of these kinds.
    """
    with open_image(path) as image:
        if image.mode not in ("P", "L", "1"):
            raise InputError(f"{path} is not a mask: its mode is {image.mode}; it must be an indexed or grey PNG")
        return np.array(image, dtype=np.uint8)


def is_mask_png(path: str | Path) -> bool:
    """Whether a file is an indexed PNG with DAVIS' (or VOC's) whole palette, as masks have; reads its header only."""
    if not Path(path).is_file():  # opening a pipe would wait for a writer
        return False
    try:
        with PilImage.open(path, formats=["PNG"]) as image:
            return image.mode == "P" and image.palette is not None and image.palette.palette in _MASK_PALETTES
    except _HEADER_ERRORS:
        return False
