"""Masks of frames after the first: of objects that appear there, and corrections of those that are tracked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np

from persam_video.errors import AnnotationError
from persam_video.files.json_file import shortened
from persam_video.frame import Frame, LabelMap
from persam_video.inputs.first_mask import MaskSource, load_masks
from persam_video.inputs.mask_folder import mask_files
from persam_video.messages import parameter

MasksByFrame = Mapping[int, MaskSource] | Mapping[str, MaskSource] | Iterable[tuple[int | str, MaskSource]]
"""Masks by frame number, from 0, or name (`Frame.name`); or pairs of both."""


class LaterMasks:
    """Masks by frame number.

    All are checked at once. Files are read again when their frame comes, so that a folder of masks takes no memory.

    Args:
        masks: frame numbers, from 0, and the masks of these frames.
        width: of the video, pixels.
        height: of the video, pixels.
        pixel_aspect: width of the video's pixels by their height.
    Raises:
        AnnotationError: a mask cannot be used, or a frame has two masks.
    """

    def __init__(
        self,
        masks: Iterable[tuple[int, MaskSource]],
        *,
        width: int,
        height: int,
        pixel_aspect: Fraction | float | None = None,
    ) -> None:
        self._width = width
        self._height = height
        self._pixel_aspect = pixel_aspect
        self._masks: dict[int, Path | LabelMap] = {}
        for number, source in masks:
            if number in self._masks:
                both = [str(each) for each in (self._masks[number], source) if isinstance(each, (str, PathLike))]
                names = f", {' and '.join(both)}" if both else ""
                raise AnnotationError(f"frame {number} has two masks{names}; give one")
            label_map = self._load(number, source)
            self._masks[number] = Path(source) if isinstance(source, (str, PathLike)) else label_map

    def get(self, frame: Frame) -> LabelMap | None:
        """Mask of a frame; None where there is none."""
        mask = self._masks.get(frame.index)
        return self._load(frame.index, mask) if isinstance(mask, Path) else mask

    def pop(self, frame: Frame) -> LabelMap | None:
        """Mask of a frame, once; None where there is none."""
        mask = self.get(frame)
        self.drop(frame)
        return mask

    def drop(self, frame: Frame) -> None:
        """Take a frame for reached: its mask is not needed any more."""
        self._masks.pop(frame.index, None)

    @property
    def unreached(self) -> tuple[int, ...]:
        """Numbers of the frames that were not reached, in ascending order."""
        return tuple(sorted(self._masks))

    def _load(self, number: int, source: MaskSource) -> LabelMap:
        name = f"the mask of frame {number}"
        return load_masks(
            source,
            width=self._width,
            height=self._height,
            name=name,
            pixel_aspect=self._pixel_aspect,
            index=number,
        )


def frames_and_masks(masks: MasksByFrame) -> list[tuple[int | str, MaskSource]]:
    """Pairs of a frame's number or name and its mask, which is not checked.

    Raises:
        AnnotationError: they are no mapping or pairs, or a frame number is none.
    """
    name = parameter("later_masks")
    if isinstance(masks, (str, PathLike, memoryview)) or hasattr(masks, "__array__") or not isinstance(masks, Iterable):
        raise AnnotationError(
            f"{name} is of the type {type(masks).__name__}; give masks by frame number, as {{50: mask}}"
        )
    pairs: list[tuple[int | str, MaskSource]] = []
    for pair in masks.items() if isinstance(masks, Mapping) else masks:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise AnnotationError(f"{name} holds {shortened(pair)}; give pairs of a frame number and a mask")
        frame, mask = pair
        if not isinstance(frame, (int, np.integer, str)) or isinstance(frame, bool):
            raise AnnotationError(f"{name}: {shortened(frame)} is no frame number; give whole numbers from 0")
        if not isinstance(frame, str) and frame < 0:
            raise AnnotationError(f"the mask of frame {frame}: frames are counted from 0")
        pairs.append((frame if isinstance(frame, str) else int(frame), mask))
    return pairs


def masks_in(folder: Path) -> list[tuple[str, Path]]:
    """Masks of a folder (`mask_files`), each with the name of its frame: ``00012`` of ``00012.png``.

    Raises:
        AnnotationError: the folder cannot be read, or there is no mask.
    """
    files = mask_files(folder)
    if not files:
        raise AnnotationError(f"{folder}: holds no mask; it should hold PNGs named by frame, like 00012.png")
    return [(path.stem, path) for path in files]
