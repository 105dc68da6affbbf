"""Image files: which files are images, in which order, and their pixels."""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from persam_video.errors import InputError, PersamError
from persam_video.frame import Image
from persam_video.messages import one_line, parameter

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
_NOTE_SUFFIXES = frozenset({".txt", ".csv", ".json", ".xml", ".md"})
MAX_PIXELS = 1 << 26
"""Default limit of an image's or frame's pixels: 8192×8192. A file of a few hundred bytes can claim to be larger."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
"""Pillow's formats that are read. Others are not meant, and Pillow would hand PostScript to Ghostscript, whatever the
file's name is."""


@contextmanager
def open_image(
    path: str | Path, error_type: type[PersamError] = InputError, *, max_pixels: int | None = None
) -> Generator[PIL.Image.Image, None, None]:
    """Image file open in Pillow.

    Args:
        error_type: raised, with a message of one line, for a file that does not exist, cannot be read as an image or
            is too large, also where that turns out only in the block, as its pixels are decoded.
        max_pixels: limit of the image's pixels; None: `MAX_PIXELS`.
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for a writer
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise error_type(f"{path}: cannot be read as an image (it is {kind}); give an image file")
        _raise_limit_of_pillow(limit)
        with PIL.Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > limit:
                raise error_type(
                    f"{path}: is {image.width}×{image.height} pixels, more than the limit of {limit:,}; "
                    f"reduce it, or raise {parameter('max_pixels')}"
                )
            yield image
    except PersamError:
        raise
    except FileNotFoundError:
        raise error_type(f"{path}: no such file") from None
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions for damaged files
        raise error_type(
            f"{path}: cannot be read as an image ({one_line(error)}); give a complete image file"
        ) from error


def _raise_limit_of_pillow(limit: int) -> None:
    """Let Pillow open images up to a limit, which it otherwise refuses from 179 million pixels on."""
    if PIL.Image.MAX_IMAGE_PIXELS is not None and limit > PIL.Image.MAX_IMAGE_PIXELS:
        PIL.Image.MAX_IMAGE_PIXELS = limit


def check_image(path: str | Path, *, max_pixels: int | None = None) -> None:
    """Raise InputError unless a file begins as an image file does; its pixels are not decoded."""
    with open_image(path, max_pixels=max_pixels):
        pass


def read_image(path: str | Path, *, max_pixels: int | None = None) -> Image:
    """RGB image of a file, uint8, H×W×3: turned as its EXIF data demands, without its transparency, 16-bit grey scaled.

    Args:
        max_pixels: limit of the image's pixels; None: `MAX_PIXELS`.
    Raises:
        InputError: the file does not exist, cannot be read as an image, or is too large.
    """
    with open_image(path, max_pixels=max_pixels) as opened:
        image = PIL.ImageOps.exif_transpose(opened)
        if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow would clip these at 255
            grey = np.clip(np.asarray(image, dtype=np.float32), 0, 65535)
            return np.repeat(np.rint(grey / 257).astype(np.uint8)[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))


def image_files(paths: Iterable[Path], suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Those of the paths that are image files by their suffix, and not hidden, in natural order (2 before 10)."""
    files = [
        path for path in paths if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(files, key=lambda path: (natural_key(str(path.parent)), natural_key(path.name)))


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder (`image_files`); where there are any, a warning names its other files."""
    found = list(folder.iterdir())
    images = image_files(found)
    if images:
        warn_of_unread(folder, found, images, "image")
    return images


def warn_of_unread(
    folder: Path, found: Iterable[Path], read: Collection[Path], kind: str, *, folders: bool = False
) -> None:
    """Log a warning that names what is in a folder and is not read, but for hidden files and notes.

    Args:
        found: all that is in the folder.
        read: files that are read.
        kind: of files that are: ``image`` or ``mask``.
        folders: whether folders in it are named, too.
    """
    known = set(read)
    others = sorted(
        path.name
        for path in found
        if path not in known
        and path.name[0] != "."
        and path.suffix.lower() not in _NOTE_SUFFIXES
        and (folders or not path.is_dir())
    )
    if others:
        some = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        logger.warning(f"{folder}: not read, as they are no {kind} files: {some}")


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key of natural order: runs of digits compare as numbers, so that 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
