"""A video file: opened, checked, decoded frame by frame, with damage distinguished from an ordinary end."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.files.images import MAX_PIXELS
from persam_video.frame import Frame
from persam_video.messages import parameter, pluralize
from persam_video.video import completeness
from persam_video.video.container import KINDS, RESYNCING_FORMATS, as_fraction, no_decoder, open_container, reason_of
from persam_video.video.convert import Deinterlacer, RgbConverter
from persam_video.video.decoding import BrokenError, Decoding
from persam_video.video.media_file import MediaFile
from persam_video.video.span import Span
from persam_video.video.streams import frame_size, video_stream

logger = logging.getLogger(__name__)

_MAX_PIXEL_ASPECT = 10  # what is beyond it is no camera's, but a damaged header's


class VideoFile:
    """One video, read once from its start.

    Formats made for transmission (MPEG-TS, MPEG-PS, FLV, Ogg, raw streams, …) are read on after damage, and times that
    restart in them go on; one warning at the end says what was passed over. In others a packet that cannot be decoded
    ends the video. Frames of another size than the first are scaled to it.

    Args:
        media: bytes of the video; closed by `close`.
        hwaccel: the kind of device that decodes, such as ``cuda``; None for the CPU.
        stream_index: of the stream among all; None: the one that players show.
        max_pixels: limit of a frame's pixels; None: `MAX_PIXELS`.

    Raises:
        VideoError: it is not a video, is too large, or nothing in it can be decoded.
        DeviceError: the device cannot decode it.
    """

    is_images = False

    def __init__(
        self,
        media: MediaFile,
        *,
        hwaccel: str | None = None,
        stream_index: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.media: MediaFile | None = media
        self.path, self.paths = media.path, media.paths
        self.names: Sequence[str] | None = None
        self._media = media
        self._max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
        self._hwaccel = hwaccel
        self._container: InputContainer | None = None
        try:
            if media.size == 0:
                raise VideoError(f"{media.path}: is empty (0 bytes); {KINDS}")
            self._container = container = open_container(media, max_pixels=self._max_pixels, hwaccel=hwaccel)
            stream = video_stream(container, media, stream_index, self._max_pixels)
            self._check_size(*frame_size(stream, media))
            if hwaccel is not None and not stream.codec_context.is_hwaccel:  # PyAV raises nothing then
                raise no_decoder(media, hwaccel)
        except BaseException:
            self.close()
            raise
        self._stream = stream
        self.stream_index: int | None = stream.index
        self.time_base = as_fraction(stream.time_base) or Fraction(1, 1000)
        self.frame_rate = as_fraction(stream.average_rate) or as_fraction(stream.guessed_rate)
        self.total = _frame_count(container, stream, self.frame_rate)
        self.count = 0  # of the frames passed, wanted or not
        self._converter = RgbConverter()
        self._decoding = self._pass_over(container, stream)

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
        self._media.close()

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel of the upright frames divided by its height, once a frame was read; 1 where unknown."""
        aspect = as_fraction(self._stream.sample_aspect_ratio)
        if aspect is None or not 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT:
            return Fraction(1)
        return 1 / aspect if self._converter.is_transposed else aspect

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted frames, in presentation order.

        Raises:
            DamagedVideoError: the file is damaged or truncated; every frame before that was yielded.
        """
        step = max(round(1 / (self.frame_rate * self.time_base)), 1) if self.frame_rate else 1
        first_pts = last_pts = None
        try:
            for frame in self._progressive_frames():
                pts = frame.pts if frame.pts is not None else frame.dts
                if last_pts is not None and (pts is None or pts <= last_pts):
                    pts = last_pts + (step if pts is None else 1)
                last_pts = pts = pts or 0
                if first_pts is None:
                    first_pts = pts
                time = (pts - first_pts) * self.time_base
                index = self.count
                if span.is_past(index, time):
                    break
                if span.wants(index, time):
                    image = self._converter.convert(frame)
                    yield Frame(index=index, image=image, name=f"{index:05d}", pts=pts, time_base=self.time_base)
                self.count = index + 1
        except (BrokenError, av.FFmpegError) as error:
            if self._hwaccel is not None and self.count == 0:
                raise no_decoder(self._media, self._hwaccel) from error
            before = f"{pluralize(self.count, 'frame')} before it could be read" if self.count else "no frame before it"
            self._warn_of_damage()
            raise DamagedVideoError(
                f"{self.path}: damaged at frame {self.count} ({reason_of(error)}); {before}", frame_index=self.count
            ) from error
        if self.count:
            self._warn_of_damage()

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise VideoError(
                f"{self.path}: its frames are {width}×{height} pixels, more than the limit of {self._max_pixels:,}; "
                f"reduce them, or raise {parameter('max_pixels')}"
            )

    def _warn_of_damage(self) -> None:
        phrases = self._decoding.damage.describe()
        if self._converter.scaled:
            frames = pluralize(self._converter.scaled, "frame")
            phrases.append(f"{frames} of another size or rotation than the first were scaled to its size")
        if phrases:
            logger.warning(f"{self.path}: {self.count} frames were read; {'; '.join(phrases)}")

    def _progressive_frames(self) -> Iterator[av.VideoFrame]:
        deinterlacer = Deinterlacer()
        try:
            for frame in self._decoded_frames():
                yield from deinterlacer.push(frame)
        except BrokenError:
            yield from deinterlacer.flush()
            raise
        yield from deinterlacer.flush()

    def _decoded_frames(self) -> Iterator[av.VideoFrame]:
        count = 0
        # Each thread of a hardware decoder would take some of its few surfaces.
        for frame in self._decoding.frames("AUTO" if self._hwaccel is None else "NONE"):
            count += 1
            yield frame
        if self._decoding.tail_is_missing:
            # Threaded decoders may lose an error among the last few packets, and good frames with it. Decoding again
            # without threads gives the frames that can be decoded, and the error if there is one.
            assert self._container is not None
            self._container.close()
            # In software: only these decoders can do without threads. From the open file: its name may be gone.
            self._container = open_container(self._media, max_pixels=self._max_pixels, from_reader=True)
            self._stream = video_stream(self._container, self._media, self.stream_index, self._max_pixels)
            self._decoding = self._pass_over(self._container, self._stream)
            yield from islice(self._decoding.frames("NONE"), count, None)

    def _pass_over(self, container: InputContainer, stream: VideoStream) -> Decoding:
        kind, file = container.format.name, self._media.buffered()
        return Decoding(
            container,
            stream,
            size=self._media.size,
            max_pixels=self._max_pixels,
            resyncs=kind in RESYNCING_FORMATS,
            is_cut_short=partial(_is_cut_short, self._media, container, stream),
            drop_last=kind == "mpegts" and completeness.is_transport_stream_cut(file),
            max_packets=completeness.gif_images(file)[0] if kind == "gif" else None,
        )


def _is_cut_short(
    media: MediaFile, container: InputContainer, stream: VideoStream, packets: int, end: int | None
) -> bool:
    """Whether a container declares more video than was found.

    Args:
        packets: their number.
        end: when the last one ends, in units of the stream's time base.
    """
    kind, file = container.format.name, media.buffered()
    if "mp4" in kind:
        size = media.size
        missing = any(entry.pos + entry.size > size for entry in stream.index_entries[packets:])
        return missing or completeness.is_fragment_cut(file)
    if kind == "gif":
        return not completeness.gif_images(file)[1]
    if kind == "avi":
        return completeness.is_riff_cut(file) and packets < (stream.frames or packets + 1)
    if "matroska" not in kind:
        return False
    is_cut = completeness.is_matroska_cut(file)
    duration, unit = container.duration, as_fraction(stream.time_base)
    if is_cut is not None or duration is None or end is None or unit is None:
        return is_cut is not False
    # Otherwise only data after the video is missing, such as the index for seeking. Half a frame: times are rounded.
    rate = as_fraction(stream.average_rate)
    return end * unit < Fraction(duration, av.time_base) - (Fraction(1, 2) / rate if rate else 0)


def _frame_count(container: InputContainer, stream: VideoStream, rate: Fraction | None) -> int | None:
    """Number of frames, exact or estimated from the container's duration; None where it has neither."""
    if "mp4" in container.format.name and stream.frames and len(stream.index_entries):
        # Edit lists hide packets.
        return sum(not entry.is_discard for entry in stream.index_entries)
    if stream.frames and container.format.name != "gif":
        return stream.frames
    if rate is None:
        return None
    unit = as_fraction(stream.time_base) or Fraction(1, 1000)
    seconds = _seconds_in_tag(stream.metadata.get("DURATION", ""))
    if stream.duration:
        seconds = stream.duration * unit
    elif seconds is None and container.duration:
        seconds = Fraction(container.duration, av.time_base)
    if seconds is None:
        return None
    if "matroska" in container.format.name and stream.start_time:  # which has the time of the end
        start = stream.start_time * unit
        seconds -= start if 0 < start < seconds else 0
    return round(seconds * rate) if 0 < seconds * rate < 1 << 40 else None


def _seconds_in_tag(tag: str) -> Fraction | None:
    """Seconds of Matroska's tag of one stream's duration (its own duration is that of the longest stream), or None."""
    found = re.fullmatch(r"(\d{1,9}):(\d{1,2}):(\d{1,2}(?:\.\d{1,12})?)", tag.strip("\0 "))
    if found is None:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])
