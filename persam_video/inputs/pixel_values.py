"""Pixel values of a mask before they are object ids, and where they come from."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.integer | np.bool_]
"""Pixel values, H×W, not checked."""

Origin = Literal["indexed", "grey", "array", "settled"]
"""Where values come from: an image file with a palette, where 255 is void by convention; a grey one, in which objects
may be spread over the greys; an array, which may be of either; or a label map in which 255 is void, as was settled."""


class PixelValues(NamedTuple):
    """Pixel values of a mask and their origin."""

    values: Values
    origin: Origin


def distinct(values: Values) -> list[int]:
    """Values that occur, in ascending order."""
    if values.dtype in (np.uint8, np.bool_):  # much faster than sorting
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=1))]
    return [int(value) for value in np.unique(values)]
