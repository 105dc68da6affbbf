"""Masks of frames after the first: of objects that appear there, and corrections of those that are tracked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.frame import Frame, LabelMap
from persam_video.inputs.first_mask import check_label_map, load_first_masks

MaskSource = str | Path | npt.NDArray[np.integer] | npt.NDArray[np.bool_]
"""Mask file, or label map, H×W, integer ids or bool."""


class LaterMasks:
    """Masks by frame number.

    All are checked at once. Files are read again when their frame comes, so that a folder of masks takes no memory.

    Args:
        masks: frame numbers, from 0, and the masks of these frames.
        width: of the video, pixels.
        height: of the video, pixels.
    Raises:
        AnnotationError: a mask cannot be used, a frame number is negative, or a frame has two masks.
    """

    def __init__(self, masks: Iterable[tuple[int, MaskSource]], *, width: int, height: int) -> None:
        self._size = {"width": width, "height": height}
        self._masks: dict[int, Path | LabelMap] = {}
        for number, source in masks:
            mask = Path(source) if isinstance(source, (str, Path)) else source
            if number < 0:
                raise AnnotationError(f"the mask of frame {number}: frames are counted from 0")
            if number in self._masks:
                both = [each for each in (self._masks[number], mask) if isinstance(each, Path)]
                names = f", {' and '.join(map(str, both))}" if both else ""
                raise AnnotationError(f"frame {number} has two masks{names}; give one")
            label_map = self._load(number, mask)
            self._masks[number] = mask if isinstance(mask, Path) else label_map

    def pop(self, frame: Frame) -> LabelMap | None:
        """Mask of a frame, once; None where there is none."""
        mask = self._masks.pop(frame.index, None)
        return self._load(frame.index, mask) if isinstance(mask, Path) else mask

    @property
    def unreached(self) -> tuple[int, ...]:
        """Numbers of the frames whose masks were not popped, in ascending order."""
        return tuple(sorted(self._masks))

    def _load(self, number: int, mask: Path | npt.ArrayLike) -> LabelMap:
        if isinstance(mask, Path):
            return load_first_masks([mask], **self._size)
        return check_label_map(mask, **self._size, name=f"the mask of frame {number}")


def masks_in(folder: Path) -> list[tuple[int, Path]]:
    """Masks of a folder, each named by its frame number: ``00012.png`` for frame 12.

    Raises:
        AnnotationError: there is none, or one has another name.
    """
    paths = sorted(path for path in folder.glob("*.png") if not path.name.startswith("."))
    if not paths:
        raise AnnotationError(f"{folder}: holds no mask; it should hold PNGs named by frame, like 00012.png")
    for path in paths:
        if not path.stem.isdecimal():
            raise AnnotationError(f"{path}: is not named by its frame; name it like 00012.png")
    return [(int(path.stem), path) for path in paths]
