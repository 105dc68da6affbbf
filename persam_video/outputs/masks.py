"""Masks of all frames as palette PNGs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from persam_video.files.palette_png import is_mask_png, write_palette_png
from persam_video.outputs.folder import FolderOutput
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


class MaskFolderOutput(FolderOutput):
    """The same masks in a folder that has its name only when all of them are written, as nothing is to be kept of an
    export that fails."""

    own = ("*.png",)

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        png = io.BytesIO()
        write_palette_png(png, result.label_map)
        return {f"{result.frame.name}.png": png.getvalue()}

    def is_own(self, path: Path) -> bool:
        """See `FolderOutput.is_own`."""
        return super().is_own(path) and is_mask_png(self.path / path)
