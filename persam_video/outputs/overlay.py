"""Video with the masks drawn over it."""

from __future__ import annotations

from persam_video.drawing import draw_overlay
from persam_video.frame import Image
from persam_video.outputs.video import VideoOutput
from persam_video.result import FrameResult


class OverlayOutput(VideoOutput):
    """Video file (.mp4, .mov, .mkv) with the masks drawn over it, and the timing and sound of the original."""

    def image(self, result: FrameResult) -> Image:
        """See `VideoOutput.image`."""
        return draw_overlay(result.frame.image, result.label_map, object_ids=result.object_ids, names=result.names)
