"""Masks of all frames as palette PNGs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from persam_video.outputs.mask_writer import MaskWriter
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo


class MaskOutput:
    """Folder of DAVIS masks, ``<folder>/<frame name>.png``: palette PNGs whose pixel values are object ids.

    Args:
        folder: the folder; it is made if need be.
        binary: write every object as 255, as in DAVIS-2016, instead of as its id.
    """

    is_folder = True

    def __init__(self, folder: str | Path, *, binary: bool = False) -> None:
        self.path = Path(folder)
        self._binary = binary
        self._writer: MaskWriter | None = None

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._writer = MaskWriter(
            self.path, overwrite=overwrite, keep_earlier=video.starts_late, keep_later=video.ends_early
        )

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        assert self._writer is not None, "the output is not open"
        label_map = np.where(result.label_map, 255, 0).astype(np.uint8) if self._binary else result.label_map
        return partial(self._writer.write, result.frame.name, label_map)

    def close(self) -> None:
        """See `Output.close`."""
        if self._writer is not None:
            self._writer.close()

    discard = close  # every mask that was written is whole
