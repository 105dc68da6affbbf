"""A folder of masks, one for each frame, as results."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from persam_video.errors import AnnotationError, InputError
from persam_video.files.palette_png import read_palette_png
from persam_video.frame import IGNORE_ID, LabelMap, ids_in
from persam_video.inputs.later_masks import masks_in
from persam_video.messages import parameter
from persam_video.results.record import RunInfo
from persam_video.results.source import FrameRecord, ResultSource
from persam_video.video.reader import VideoInfo, VideoReader, open_video

logger = logging.getLogger(__name__)

_FRAME_RATE = Fraction(24)


class MaskFolder(ResultSource):
    """Masks in a folder, as `MaskOutput` and DAVIS have them, as results: their pixel values are object ids.

    Where the first mask holds 0 and 255 alone, 255 is object 1, as in DAVIS-2016; otherwise 255 is void. Scores are 1.
    Without the video frames are numbered by their names, or else in their order, at 24 a second.

    Args:
        path: the folder; its PNGs are named by frame.
        video: the video of the masks; None: images are black.
        names: of objects by id, or a JSON file of them.
    Raises:
        InputError: the folder holds no masks, or they are not of the video's size.
    """

    def __init__(
        self,
        path: str | Path,
        video: str | Path | None = None,
        *,
        names: Mapping[int, str] | str | Path | None = None,
    ) -> None:
        super().__init__(path, video, names)
        self._masks = masks_in(self.path)
        first = read_palette_png(self._masks[0][1])
        self._is_binary = set(np.unique(first)) == {0, IGNORE_ID}
        self._has_void = False
        height, width = first.shape
        info = VideoInfo(
            path=self.path,
            width=width,
            height=height,
            time_base=1 / _FRAME_RATE,
            frame_rate=_FRAME_RATE,
            frame_count=len(self._masks),
            is_images=True,
        )
        self._indices = self._numbered(None)
        if self.video is not None:
            with open_video(self.video) as reader:
                found = reader.info
                if (found.width, found.height) != (width, height):
                    raise InputError(
                        f"{self.path}: its masks are {width}×{height}, the video {found.path} is "
                        f"{found.width}×{found.height}; give the video that they are of"
                    )
                info = replace(found, frame_count=len(self._masks))
                self._indices = self._numbered(reader)
        self.run = RunInfo(replace(info, media=None), names=self.given_names)

    def records(self) -> Generator[FrameRecord, None, None]:
        """See `ResultSource.records`."""
        object_ids: tuple[int, ...] = ()
        shape = self.run.video.height, self.run.video.width
        has_times = self.run.video.is_images
        for index, name, path in self._indices:
            label_map = self._read(path)
            if label_map.shape != shape:
                raise AnnotationError(
                    f"{path}: is {label_map.shape[1]}×{label_map.shape[0]}, but the first mask is "
                    f"{shape[1]}×{shape[0]}; all must have the same size"
                )
            object_ids += tuple(i for i in ids_in(label_map) if i not in object_ids)
            scores = dict.fromkeys(object_ids, 1.0)
            pts, time_base = (index, self.run.video.time_base) if has_times else (None, None)
            yield FrameRecord(index, name, label_map, scores, pts=pts, time_base=time_base)

    def _numbered(self, reader: VideoReader | None) -> list[tuple[int, str, Path]]:
        """Frame number, name and file of each mask, in order."""
        if reader is not None:
            found = [(reader.index_of(name), name, path) for name, path in self._masks]
            missing = [path for index, _, path in found if index is None]
            if missing:
                raise InputError(
                    f"{missing[0]}: no frame of {reader.info.path} has its name; name masks as the frames, or give "
                    f"another {parameter('video')}"
                )
            numbered = [(index, name, path) for index, name, path in found if index is not None]
        else:
            is_numbered = all(name.isascii() and name.isdecimal() and len(name) < 13 for name, _ in self._masks)
            numbered = [
                (int(name) if is_numbered else number, name, path) for number, (name, path) in enumerate(self._masks)
            ]
        numbered.sort(key=lambda each: each[0])
        for (index, _, path), (following, _, other) in pairwise(numbered):
            if index == following:
                raise InputError(f"{other}: is of frame {index}, as is {path.name}; give one mask for each frame")
        return numbered

    def _read(self, path: Path) -> LabelMap:
        label_map = read_palette_png(path)
        is_void = label_map == IGNORE_ID
        label_map[is_void] = self._is_binary
        if is_void.any() and not self._is_binary and not self._has_void:
            self._has_void = True
            logger.warning(f"{path}: pixels of 255 are void, and belong to no object")
        return label_map
