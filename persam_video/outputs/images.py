"""Frames as image files, as label files name them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import PIL.Image

from persam_video.outputs.folder import FolderOutput, encode_jpeg
from persam_video.result import FrameResult


class ImageOutput(FolderOutput):
    """Folder of the frames as image files, by the names that labels in COCO's format give them: JPEG, or the format of
    the image files that were tracked."""

    own = ("*.jpg", "*.jpeg", "*.png", "*.bmp", "*.webp", "*.tif", "*.tiff", "*.ppm")

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        assert self.video is not None, "the output is not open"
        suffix = self.video.image_suffix
        if suffix.lower() in (".jpg", ".jpeg"):
            return {result.frame.name + suffix: encode_jpeg(result.frame.image)}
        content = io.BytesIO()
        image = PIL.Image.fromarray(result.frame.image)
        image.save(content, PIL.Image.registered_extensions()[suffix.lower()], lossless=True, compress_level=1)
        return {result.frame.name + suffix: content.getvalue()}
