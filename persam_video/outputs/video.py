"""Output that is a video made of the frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

from persam_video.frame import Image
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo
from persam_video.video.writer import VideoWriter


class VideoOutput(ABC):
    """Video file with an image for each frame, and the timing and sound of the original.

    Args:
        path: of the file: .mp4, .mov or .mkv; with ``has_alpha`` .mov or .webm.
    """

    is_folder = False
    has_alpha = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._writer: VideoWriter | None = None

    @abstractmethod
    def image(self, result: FrameResult) -> Image:
        """Image of a frame, RGB, or RGBA with ``has_alpha``; of the video's size (`size`)."""

    def size(self, video: VideoInfo) -> tuple[int, int]:
        """Width and height of the images."""
        return video.width, video.height

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        width, height = self.size(video)
        self._writer = VideoWriter(
            self.path,
            width=width,
            height=height,
            time_base=video.time_base,
            frame_rate=video.frame_rate,
            pixel_aspect=video.pixel_aspect,
            audio_from=video.media,
            video_stream=video.stream,
            alpha=self.has_alpha,
            overwrite=overwrite,
        )

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        assert self._writer is not None, "the output is not open"
        frame = result.frame
        return partial(self._writer.write, self.image(result), frame.index if frame.pts is None else frame.pts)

    def close(self) -> None:
        """See `Output.close`."""
        if self._writer is not None:
            self._writer.close()

    def discard(self) -> None:
        """See `Output.discard`."""
        if self._writer is not None:
            self._writer.discard()
