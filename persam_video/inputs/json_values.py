"""Values of annotations in JSON, or of the same kind from Python, checked."""

from __future__ import annotations

import math
from typing import Any

from persam_video.arrays import as_array
from persam_video.files.json_file import shortened

MAX_COORDINATE = 1_000_000
"""Pixels; no image is as large, and OpenCV's coordinates end at 8 million."""


def coordinate(value: object) -> float:
    """A coordinate or length in pixels.

    Raises:
        ValueError: it is no number, not finite, or beyond any image.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"a coordinate that is no number, {shortened(number)}")
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"a coordinate that is not finite, {number}; give pixels")
    if abs(number) > MAX_COORDINATE:
        raise ValueError(f"a coordinate that is beyond any image, {shortened(number)}; give pixels")
    return float(number)


def plain(value: object) -> object:
    """Python's number of a number of numpy or torch; any other value as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value  # type: ignore[attr-defined]


def whole(value: object) -> int:
    """A whole number of a JSON file, which may be written as text.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise ValueError(f"{shortened(value)} where there should be a whole number")
    return int(value)


def mapping(value: object, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{shortened(value)} where there should be {what}, in braces")
    return value


def listed(value: object, what: str) -> list[Any]:
    """Items of a list, or numbers of an array or tensor.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, (list, tuple)):
        return list(value)
    array = as_array(value)
    if array is None or array.ndim == 0:
        raise ValueError(f"{shortened(value)} where there should be {what}, a list")
    return list(array.tolist())
