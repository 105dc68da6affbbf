"""Masks as COCO's run lengths: lengths of runs of background and object in turn, down the columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from persam_video.files.json_file import shortened
from persam_video.inputs.json_values import whole


def mask_of_runs(segmentation: dict[str, Any], *, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Mask, bool, height×width.

    Args:
        segmentation: ``counts``, a list of lengths or a string of compressed ones, and ``size``, [height, width], which
            may be missing.
        width: of the image.
        height: of the image.

    Raises:
        ValueError: it is none of these, or not of the image's size.
    """
    size = segmentation.get("size")
    if size is not None and (not isinstance(size, list) or [whole(each) for each in size] != [height, width]):
        raise ValueError(f"run lengths of the size {shortened(size)}, not [{height}, {width}]")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        runs = decompressed(counts)
    elif isinstance(counts, list):
        runs = [whole(each) for each in counts]
    else:
        raise ValueError(f"counts that are {shortened(counts)}, neither a list nor a string")
    if runs and min(runs) < 0:
        raise ValueError(f"a negative run length, {shortened(min(runs))}")
    if sum(runs) != width * height:
        raise ValueError(f"run lengths of {shortened(sum(runs))} pixels, not {width * height}")
    values = np.repeat(np.arange(len(runs)) % 2 > 0, runs)
    return np.asarray(values.reshape(width, height).T)


def decompressed(text: str) -> list[int]:
    """Run lengths of COCO's compressed string.

    A number is written in groups of five bits, the lowest first, as characters from "0" (48) on; a character's bit 5
    says that another follows, and bit 4 of the last one is the sign. From the fourth number on each is the difference
    to the run length two before it.

    Raises:
        ValueError: the string is no such list.
    """
    runs: list[int] = []
    number = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 60:
            raise ValueError("compressed run lengths that are damaged")
        number |= (code & 31) << bits
        bits += 5
        if not code & 32:
            if code & 16:
                number -= 1 << bits
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = bits = 0
    if bits:
        raise ValueError("compressed run lengths that are cut short")
    return runs
