"""Frames as image files, as label files name them."""

from __future__ import annotations

from collections.abc import Mapping

from persam_video.outputs.folder import FolderOutput, encode_jpeg
from persam_video.result import FrameResult


class ImageOutput(FolderOutput):
    """Folder of the frames as JPEG files, ``<folder>/<frame name>.jpg``."""

    own = ("*.jpg",)

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        return {f"{result.frame.name}.jpg": encode_jpeg(result.frame.image)}
