"""Image files: which files are images, in which order, and their pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from persam_video.frame import Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def read_image(path: Path) -> Image:
    """A picture as RGB, uint8, H×W×3: turned as its EXIF data says, without its transparency, 16-bit grey scaled.

    Raises:
        OSError, ValueError and whatever else Pillow raises for a picture that it cannot read.
    """
    with PIL.Image.open(path) as opened:
        picture = PIL.ImageOps.exif_transpose(opened)
        if picture.mode == "I" or picture.mode.startswith("I;16"):  # Pillow would clip these at 255
            grey = np.clip(np.asarray(picture, dtype=np.float32), 0, 65535)
            return np.repeat(np.rint(grey / 257).astype(np.uint8)[..., None], 3, axis=2)
        return np.array(picture.convert("RGB"))


def image_files(paths: Iterable[Path]) -> list[Path]:
    """Those that are pictures by their suffix, and not hidden, in natural order (2 before 10)."""
    pictures = [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(pictures, key=lambda path: (natural_key(str(path.parent)), natural_key(path.name)))


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key of natural order: runs of digits compare as numbers, so that 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
