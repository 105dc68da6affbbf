"""Writer of frames as a video with the timing, and the audio, of the original: H.264, or with transparency."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from persam_video.errors import OutputError, VideoError
from persam_video.files.atomic import create_exclusively
from persam_video.files.output_file import OutputFile
from persam_video.frame import LARGE_FRAME_PIXELS, Image
from persam_video.messages import one_line
from persam_video.video.audio import AudioCopy
from persam_video.video.media_file import MediaFile

_MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True, slots=True)
class _Codec:
    """How frames are coded.

    Args:
        name: FFmpeg's encoder.
        pixel_format: of the coded frames.
        options: of the encoder.
        channels: of the frames that are written: 3 of RGB, 4 of RGBA.
        is_even: whether width and height must be even.
    """

    name: str
    pixel_format: str
    options: dict[str, str]
    channels: int = 4
    is_even: bool = False


# No B-frames: each packet has its own frame's time.
_H264 = _Codec("libx264", "yuv420p", {"crf": "18", "preset": "veryfast", "bf": "0"}, channels=3, is_even=True)
_PRORES_4444 = _Codec("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"})
_VP9 = _Codec("libvpx-vp9", "yuva420p", {"crf": "20", "b": "0", "cpu-used": "5", "auto-alt-ref": "0"})
_CODECS = {".mp4": _H264, ".mov": _H264, ".mkv": _H264}
_ALPHA_CODECS = {".mov": _PRORES_4444, ".webm": _VP9}
_LITTLE_MEMORY = {"x264-params": "sliced-threads=1:sync-lookahead=0:rc-lookahead=0:mbtree=0:subme=0"}
"""Options for large frames, of which the encoder would hold dozens, with planes of half pixels."""
_MAX_ASPECT_TERM = 255  # of H.264's pixel aspect 65,535, of other programs' less
_LATEST_START = 10  # seconds; recorders write the time of their clock, and players would show nothing until then
_BT709 = 1
_LIMITED_RANGE = 1
_WRITE_ERRORS = (av.FFmpegError, OSError, ValueError)


class VideoWriter:
    """A new video file: H.264, 4:2:0, BT.709 limited range, in an .mp4, .mov or .mkv file; with transparency ProRes
    4444 in .mov, or VP9 in .webm.

    An odd width or height is padded to the next even number by repeating the last column or row, as 4:2:0 has half as
    many colour samples. The file is written under a hidden name beside its own and gets its own name in ``close``, so
    that a file of that name is always complete. In a ``with`` block an exception discards it.

    Times are the original's: a video written from its beginning has the timestamps of the original; of one from later
    on, or where the original's clock is past ten seconds at its beginning, the first frame is at 0 and the differences
    stay. In .mp4 and .mov nothing is rounded, .mkv counts milliseconds.

    Audio that the container cannot hold, or that is damaged, is left out with a warning in the log.

    Args:
        path: file to write; its folder is created if it is missing.
        width: of the frames, pixels.
        height: of the frames, pixels.
        time_base: seconds per unit of the ``pts`` of ``write``.
        frame_rate: average frames per second, for the duration of the last frame; None where unknown.
        pixel_aspect: width of a pixel divided by its height, with which players stretch the video.
        audio_from: the video whose frames are written; its audio is copied as it is, cut to the time that is written.
        video_stream: index of the stream of the frames in ``audio_from``; None: the first video.
        alpha: frames are RGBA: with transparency, straight (not premultiplied).
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: this FFmpeg lacks the encoder, the file exists, its name has another suffix, or it cannot be
            written there; nothing is left behind.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        time_base: Fraction,
        frame_rate: Fraction | None,
        pixel_aspect: Fraction = Fraction(1),
        audio_from: Path | MediaFile | None = None,
        video_stream: int | None = None,
        alpha: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self._width, self._height, self._time_base = width, height, time_base
        self._last_duration = max(round(1 / (frame_rate * time_base)), 1) if frame_rate else 0
        self._pixel_aspect = pixel_aspect
        self._video_stream = video_stream
        self._first_pts: int | None = None
        self._last_pts = 0
        self._shift = 0  # subtracted from each pts
        self._reformatter = VideoReformatter()
        self._container: OutputContainer | None = None
        self._audio: AudioCopy | None = None
        self._file: OutputFile | None = None
        self._media: MediaFile | None = None  # opened here
        try:
            media = self._open_media(audio_from) if isinstance(audio_from, Path) else audio_from
            self._codec = _codec_of(self.path, alpha=alpha)
            _check_path(self.path, media)
            self._file = OutputFile(self.path, overwrite=overwrite)
            create_exclusively(self._file.partial)
            self._stream = self._open(frame_rate, media)
        except OutputError:
            self.discard()
            raise
        except _WRITE_ERRORS as error:
            self.discard()
            raise self._error(error) from error

    def write(self, image: Image, pts: int) -> None:
        """Add a frame.

        Args:
            image: RGB, uint8, H×W×3, of the video's size; with ``alpha`` RGBA, H×W×4.
            pts: presentation time in units of ``time_base``; later than that of the frame before.

        Raises:
            OutputError: the disk is full, or the encoder failed; what was written is removed.
            ValueError: the image has another size or type, the time is not later, or the writer is closed.
        """
        if self._container is None:
            raise ValueError(f"{self.path}: is closed")
        shape = self._height, self._width, self._codec.channels
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(
                f"{self.path}: frames must be uint8 of shape {shape}; got {image.dtype} of shape {image.shape}"
            )
        if self._first_pts is not None and pts <= self._last_pts:
            raise ValueError(f"{self.path}: frame times must increase; got {pts} after {self._last_pts}")
        try:
            if self._first_pts is None:
                self._begin(pts)
            elif not self._last_duration:
                self._last_duration = pts - self._last_pts
            self._last_pts = pts
            self._encode(self._to_yuv(image, pts))
            if self._audio is not None:
                self._audio.copy_until(pts * self._time_base)
        except _WRITE_ERRORS as error:
            self.discard()
            raise self._error(error) from error

    def close(self) -> None:
        """Finish the file and give it its name. Without a frame there is no file. May be repeated.

        Raises:
            OutputError: the disk is full, or the encoder failed; what was written is removed.
        """
        if self._container is None:
            return
        if self._first_pts is None:
            self.discard()
            return
        try:
            self._encode(None)
            if self._audio is not None:
                self._audio.finish((self._last_pts + self._last_duration) * self._time_base)
                self._audio.close()
            self._close_media()
            container, self._container = self._container, None
            container.close()
            assert self._file is not None
            self._file.partial.replace(self.path)
            self._file.release()
        except _WRITE_ERRORS as error:
            self.discard()
            raise self._error(error) from error

    def discard(self) -> None:
        """Remove what was written, and the folders created for it; a finished file stays. May be repeated."""
        if self._audio is not None:
            self._audio.close()
        self._close_media()
        container, self._container = self._container, None
        if self._file is None:
            return
        self._file.remove_partial()  # first, so that closing does not spend time on finishing the file
        if container is not None:
            with suppress(*_WRITE_ERRORS):
                container.close()
        self._file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _open(self, frame_rate: Fraction | None, media: MediaFile | None) -> VideoStream:
        """Open the file and write its header, without the audio if the container does not accept it after all."""
        stream = self._open_container(frame_rate, media)
        assert self._container is not None
        try:
            self._container.start_encoding()
        except _WRITE_ERRORS:
            if not self._audio:
                raise
            self._audio.reject()
            stream = self._open_container(frame_rate, None)
            self._container.start_encoding()
        return stream

    def _open_container(self, frame_rate: Fraction | None, media: MediaFile | None) -> VideoStream:
        assert self._file is not None
        muxer = _MUXERS[self.path.suffix.lower()]
        self._container = container = av.open(f"file:{self._file.partial}", "w", format=muxer)
        is_large = self._width * self._height > LARGE_FRAME_PIXELS
        options = {**self._codec.options, **(_LITTLE_MEMORY if is_large and self._codec is _H264 else {})}
        rate = frame_rate.limit_denominator(10**6) if frame_rate else 24
        stream = container.add_stream(self._codec.name, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._width + self._padding[1], self._height + self._padding[0]
        stream.pix_fmt = self._codec.pixel_format
        codec = stream.codec_context
        codec.time_base = stream.time_base = self._time_base
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED_RANGE
        if self._pixel_aspect != 1:
            codec.sample_aspect_ratio = self._pixel_aspect.limit_denominator(_MAX_ASPECT_TERM)
        if media is not None:
            self._audio = AudioCopy(media, self._video_stream, container, str(self.path))
        if muxer in ("matroska", "webm"):
            # Audio may begin a little before 0; by default all times would be shifted for that.
            container.container_options["avoid_negative_ts"] = "disabled"
        else:
            container.container_options["movflags"] = "faststart"
            container.container_options["movie_timescale"] = str(_movie_timescale(container))
        return stream

    def _open_media(self, path: Path) -> MediaFile:
        try:
            self._media = MediaFile(path)
        except (OSError, VideoError) as error:
            raise OutputError(
                f"{path}: no audio can be copied from it ({one_line(error)}); give another file"
            ) from error
        return self._media

    def _close_media(self) -> None:
        if self._media is not None:
            self._media.close()

    def _begin(self, pts: int) -> None:
        self._first_pts = self._shift = pts
        start = pts * self._time_base
        if self._audio is None:
            return
        video_start = self._audio.video_start
        # Half a frame: some containers store the beginning only roughly.
        tolerance = self._last_duration * self._time_base / 2
        if video_start is not None and start - video_start <= tolerance and 0 <= start <= _LATEST_START:
            self._shift = 0
        self._audio.begin(start, self._shift * self._time_base)

    @property
    def _padding(self) -> tuple[int, int]:
        """Rows and columns that are added to an odd size."""
        return (self._height % 2, self._width % 2) if self._codec.is_even else (0, 0)

    def _to_yuv(self, image: Image, pts: int) -> av.VideoFrame:
        if any(self._padding):
            image = np.pad(image, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), mode="edge")
        layout = "rgba" if self._codec.channels == 4 else "rgb24"
        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format=layout),
            format=self._codec.pixel_format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,  # the model needs the other cores
        )
        frame.pts, frame.time_base = pts - self._shift, self._time_base
        return frame

    def _encode(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None
        for packet in self._stream.encode(frame):
            packet.duration = self._last_duration or 1  # matters for the last frame only
            self._container.mux_one(packet)

    def _error(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"{self.path}: cannot be written ({reason}); give a writable path with free space")


def _codec_of(path: Path, *, alpha: bool) -> _Codec:
    codecs = _ALPHA_CODECS if alpha else _CODECS
    codec = codecs.get(path.suffix.lower())
    if codec is None:
        raise OutputError(f"{path}: the suffix must be one of {', '.join(codecs)}, not {path.suffix or 'none'!r}")
    if codec.name not in av.codec.codecs_available:
        raise OutputError(
            f"{path}: this FFmpeg lacks the encoder {codec.name}; give another format, or install PyAV's own wheel"
        )
    return codec


def _check_path(path: Path, media: MediaFile | None) -> None:
    if path.exists() and media is not None and media.path.exists() and path.samefile(media.path):
        raise OutputError(f"{path}: is the video that is read; give another name")


def _movie_timescale(container: OutputContainer) -> int:
    """Unit of time in which all streams' beginnings can be stored without rounding, if there is one of 32 bits."""
    units = [stream.time_base.denominator for stream in container.streams if stream.time_base]
    exact = math.lcm(*units)
    return exact if exact < 2**31 else max(units)
