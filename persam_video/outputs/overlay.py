"""Video with the masks drawn over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from persam_video.frame import FrameResult
from persam_video.outputs.draw import draw_overlay
from persam_video.video.reader import VideoInfo
from persam_video.video.writer import VideoWriter


class OverlayOutput:
    """Video file (.mp4, .mov, .mkv) with the masks drawn over it, and the timing and sound of the original."""

    is_folder = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._writer: VideoWriter | None = None

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._writer = VideoWriter(
            self.path,
            width=video.width,
            height=video.height,
            time_base=video.time_base,
            frame_rate=video.frame_rate,
            pixel_aspect=video.pixel_aspect,
            audio_from=video.media,
            video_stream=video.stream,
            overwrite=overwrite,
        )

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        assert self._writer is not None, "the output is not open"
        frame = result.frame
        image = draw_overlay(frame.image, result.label_map, object_ids=result.object_ids)
        return partial(self._writer.write, image, frame.index if frame.pts is None else frame.pts)

    def close(self) -> None:
        """See `Output.close`."""
        if self._writer is not None:
            self._writer.close()

    def discard(self) -> None:
        """See `Output.discard`."""
        if self._writer is not None:
            self._writer.discard()
