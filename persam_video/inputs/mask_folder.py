"""Masks of a folder: one a frame, as DAVIS has them, or one an object of the same frame, as SAM's tools write them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.files.images import natural_key, open_image, warn_of_unread
from persam_video.messages import one_line

logger = logging.getLogger(__name__)

_MASK_SUFFIXES = frozenset({".png", ".bmp", ".gif", ".pgm", ".tif", ".tiff"})
_SAMPLE = 10  # files of a folder that are compared


def masks_of_frame(
    folder: Path,
    *,
    index: int = 0,
    frame_name: str | None = None,
    frame_count: int | None = None,
    max_pixels: int | None = None,
) -> list[Path]:
    """Mask files of a folder that belong to one frame: the one with its name or number, or all of them, of one object
    each. For frame 0, where none has its name or number, it is the first one.

    The files are of one object each if each holds one, they hardly overlap, as masks of following frames do, and they
    have names, or numbers that are not filled up with zeros as those of frames are.

    Args:
        folder: with files such as 00000.png, of one frame each; or bike.png and rider.png.
        index: of the frame in its video.
        frame_name: `Frame.name`; None: unknown.
        frame_count: of the video; None: unknown.
        max_pixels: limit of a mask's pixels; None: that of images.

    Raises:
        AnnotationError: the folder cannot be read or holds no mask of the frame, or it is not clear of which kind it
            is.
    """
    files = mask_files(folder)
    if not files:
        raise AnnotationError(
            f"{folder} holds no mask; it must hold image files such as 00000.png, of which that of the frame is read"
        )
    if len(files) == 1:
        return files
    if _are_frames(folder, files, frame_count, max_pixels):
        return [_of_frame(folder, files, index, frame_name)]
    named = ", ".join(f"{i} = {path.name}" for i, path in enumerate(files, start=1))
    logger.warning(f"{folder}: its files were taken for masks of one object each: {named}")
    return files


def _of_frame(folder: Path, files: Sequence[Path], index: int, frame_name: str | None) -> Path:
    for path in files:
        if path.stem == frame_name:
            return path
    digits = _numbers([path.stem for path in files]) or []
    for path, number in zip(files, digits, strict=False):
        if int(number) == index:
            return path
    if index == 0:
        return files[0]
    raise AnnotationError(f"{folder}: holds no mask of frame {index}; give the file of its mask")


def mask_files(folder: Path) -> list[Path]:
    """Files of a folder that are masks by their suffix, in natural order; where there are any, a warning names what
    else there is.

    Raises:
        AnnotationError: the folder cannot be read.
    """
    try:
        found = list(folder.iterdir())
    except OSError as error:
        raise AnnotationError(f"{folder} cannot be read ({one_line(error)})") from error
    masks = [path for path in found if path.name[0] != "." and path.suffix.lower() in _MASK_SUFFIXES]
    masks = sorted((path for path in masks if not path.is_dir()), key=lambda each: natural_key(each.name))
    if masks:
        warn_of_unread(folder, found, masks, "mask", folders=True)
    return masks


def _are_frames(folder: Path, files: Sequence[Path], frame_count: int | None, max_pixels: int | None) -> bool:
    """Whether files are masks of one frame after another, rather than of several objects in one frame.

    Raises:
        AnnotationError: neither is clear.
    """
    digits = _numbers([path.stem for path in files])
    is_padded = digits is not None and min(map(len, digits)) >= 4  # as 00012
    try:
        masks = [_object_in(path, max_pixels) for path in files[: 2 if is_padded else _SAMPLE]]
    except AnnotationError:
        if is_padded:  # only the first file is needed, and is read later
            return True
        raise
    if any(mask is None for mask in masks):
        if digits is not None:  # label maps of frames
            return True
        other = next(path for path, mask in zip(files, masks, strict=False) if mask is None)
        raise AnnotationError(
            f"{folder}: holds {len(files)} masks without frame numbers, and {other.name} is not of one object; give "
            "one file, or several of one object each"
        )
    overlaps = [_overlap(a, b) for a, b in pairwise(masks) if a is not None and b is not None]
    overlap, is_apart = float(np.median(overlaps)), max(overlaps) < 0.1
    has_most_frames = frame_count is not None and 2 * len(files) >= frame_count
    if digits is not None:
        if overlap >= 0.3 or (is_padded and (has_most_frames or not is_apart)):
            return True
        if is_apart and not is_padded and not has_most_frames:
            return False
    elif overlap < 0.5:
        return False
    raise AnnotationError(
        f"{folder}: holds {len(files)} masks, which may be of one frame each or of one object each; if of one frame "
        f"each, give the file of the frame, such as {files[0]}; if of one object each, give all files"
    )


def _numbers(stems: Sequence[str]) -> list[str] | None:
    """Digits of the names that count frames, such as 00012 or frame_12: all else is equal; None: the names do not."""
    parts = [re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", stem) for stem in stems]
    matches = [each for each in parts if each]
    if len(matches) < len(stems) or len({(each[1], each[3]) for each in matches}) > 1:
        return None
    return [each[2] for each in matches]


def _object_in(path: Path, max_pixels: int | None) -> npt.NDArray[np.bool_] | None:
    """Pixels of the only object in a mask's file, bool, H×W; None if it has several values beside the background."""
    with open_image(path, AnnotationError, max_pixels=max_pixels) as image:
        if image.mode in ("LA", "PA", "RGBA") and image.getchannel("A").getextrema() != (255, 255):
            image = image.getchannel("A")
        if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
            values = np.asarray(image)
        else:
            values = np.asarray(image.convert("RGB")).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found = np.unique(values)
    return np.asarray(values != 0) if len(found) <= 2 and found[0] == 0 else None


def _overlap(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection by union of two masks; 0 where they differ in size."""
    if a.shape != b.shape:
        return 0.0
    return int(np.count_nonzero(a & b)) / max(1, int(np.count_nonzero(a | b)))
