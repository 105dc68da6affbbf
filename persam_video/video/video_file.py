"""A video file: opened, checked, decoded frame by frame, with damage distinguished from an ordinary end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from persam_video.errors import DamagedVideoError, DeviceError, VideoError
from persam_video.frame import Frame
from persam_video.messages import parameter, pluralize
from persam_video.video.container_size import declared_size
from persam_video.video.convert import Deinterlacer, RgbConverter
from persam_video.video.span import Span

_KINDS = "give an mp4, mov, mkv, webm, avi or gif file, a folder of images, or a glob pattern of image files"
_MAX_PIXEL_ASPECT = 10  # what is beyond it is no camera's, but a damaged header's
_COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails


class _BrokenError(Exception):
    """Decoding cannot continue; the message is the reason."""


class VideoFile:
    """One video file, read once from its start.

    Args:
        hwaccel: the kind of device that decodes, such as ``cuda``; None for the CPU.
        stream_index: of the stream among all; None: the first video that is no cover art.

    Raises:
        VideoError: it does not exist, is not a video, or nothing in it can be decoded.
        DeviceError: the device cannot decode it.
    """

    def __init__(self, path: Path, hwaccel: str | None = None, stream_index: int | None = None) -> None:
        self.path = path
        self._stream_index = stream_index
        self._container = _open(path, hwaccel)
        try:
            self._stream = _video_stream(self._container, path, stream_index)
        except VideoError:
            self._container.close()
            raise
        stream = self._stream
        self._hwaccel = hwaccel
        if hwaccel is not None and not stream.codec_context.is_hwaccel:  # PyAV raises nothing then
            self._container.close()
            raise _no_decoder(path, hwaccel)
        self.time_base = as_fraction(stream.time_base) or Fraction(1, 1000)
        self.frame_rate = as_fraction(stream.average_rate) or as_fraction(stream.guessed_rate)
        self.total = self._frame_count()
        self.count = 0  # of the frames passed, wanted or not
        self._converter = RgbConverter()
        self._tail_is_missing = False

    def close(self) -> None:
        """Close the file."""
        self._container.close()

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
                    return
                if span.wants(index, time):
                    image = self._converter.convert(frame)
                    yield Frame(index=index, image=image, name=f"{index:05d}", pts=pts, time_base=self.time_base)
                self.count = index + 1
        except (_BrokenError, av.FFmpegError) as error:
            if self._hwaccel is not None and self.count == 0:
                raise _no_decoder(self.path, self._hwaccel) from error
            reason = error.strerror if isinstance(error, av.FFmpegError) else str(error)
            before = f"{pluralize(self.count, 'frame')} before it could be read" if self.count else "no frame before it"
            raise DamagedVideoError(
                f"{self.path}: damaged at frame {self.count} ({reason}); {before}", frame_index=self.count
            ) from error

    def _progressive_frames(self) -> Iterator[av.VideoFrame]:
        deinterlacer = Deinterlacer()
        try:
            for frame in self._decoded_frames():
                yield from deinterlacer.push(frame)
        except _BrokenError:
            yield from deinterlacer.flush()
            raise
        yield from deinterlacer.flush()

    def _decoded_frames(self) -> Iterator[av.VideoFrame]:
        count = 0
        # Each thread of a hardware decoder would take some of its few surfaces.
        for frame in self._decode("AUTO" if self._hwaccel is None else "NONE"):
            count += 1
            yield frame
        if self._tail_is_missing:
            # Threaded decoders may lose an error among the last few packets, and good frames with it. Decoding again
            # without threads gives the frames that can be decoded, and the error if there is one.
            self._container.close()
            self._container = _open(self.path)  # in software: only these decoders can do without threads
            self._stream = _video_stream(self._container, self.path, self._stream_index)
            yield from islice(self._decode("NONE"), count, None)

    def _decode(self, thread_type: str) -> Iterator[av.VideoFrame]:
        """All frames in presentation order.

        Raises:
            _BrokenError: a packet cannot be decoded, or the file ends before it should.
        """
        stream = self._stream
        stream.thread_type = thread_type
        broken: _BrokenError | None = None
        packets = 0
        next_dts: int | None = None  # of the packet after the last complete one
        newest_pts: int | None = None
        shown_pts: int | None = None
        end: int | None = None
        demuxer = self._container.demux(stream)
        while broken is None:
            try:
                packet = next(demuxer)
            except StopIteration:
                break
            except av.FFmpegError as error:
                broken = _BrokenError(error.strerror)
                break
            packets += packet.dts is not None or packet.pts is not None  # the last of all is a dummy
            if not packet.size:  # a dropped frame; the decoder would take it for the end
                continue
            if packet.is_corrupt:
                broken, next_dts = _BrokenError("the file ends within it"), packet.dts
                break
            if packet.dts is not None:
                next_dts = packet.dts + (packet.duration or 0)
            if packet.pts is not None and not packet.is_discard:
                newest_pts = packet.pts if newest_pts is None else max(newest_pts, packet.pts)
                end = newest_pts + (packet.duration or 0)
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                # Frames that the decoder still holds may depend on the broken packet: they are dropped.
                raise _BrokenError(error.strerror) from error
            for frame in frames:
                shown_pts = frame.pts
                yield frame
        if broken is None and self._is_cut_short(packets, end):
            broken = _BrokenError("the file ends too early")
        try:
            held = stream.codec_context.decode(None)
        except av.FFmpegError as error:
            held = []
            if thread_type == "NONE" and not isinstance(error, EOFError):
                broken = broken or _BrokenError(error.strerror)
        for frame in held:
            if broken is not None and frame.pts is not None and next_dts is not None and frame.pts > next_dts:
                break  # frames before this one may be missing
            shown_pts = frame.pts
            yield frame
        if broken is not None:
            raise broken
        self._tail_is_missing = newest_pts is not None and (shown_pts is None or shown_pts < newest_pts)

    def _is_cut_short(self, packets: int, end: int | None) -> bool:
        """Whether the container declares more video than was found.

        Args:
            packets: their number.
            end: when the last one ends, in units of the stream's time base.
        """
        stream, kind = self._stream, self._container.format.name
        size = self.path.stat().st_size
        if "mp4" in kind:
            return any(entry.pos + entry.size > size for entry in stream.index_entries[packets:])
        declared = declared_size(self.path)
        if declared is None or declared <= size:
            return False
        if kind == "avi":
            return packets < stream.frames
        duration = self._container.duration
        if duration is None or end is None or not self.frame_rate:
            return True
        # Otherwise only data after the video is missing, such as the index for seeking.
        return end * self.time_base < Fraction(duration, av.time_base) - 1 / self.frame_rate

    def _frame_count(self) -> int | None:
        """Number of frames, exact or estimated from the container's duration; None where it has neither."""
        stream, container = self._stream, self._container
        if "mp4" in container.format.name and stream.frames and len(stream.index_entries):
            # Edit lists hide packets.
            return sum(not entry.is_discard for entry in stream.index_entries)
        if stream.frames and container.format.name != "gif":
            return stream.frames
        if stream.duration:
            seconds = stream.duration * self.time_base
        elif tagged := stream.metadata.get("DURATION"):  # Matroska's own duration is that of the longest stream
            hours, minutes, rest = tagged.split(":")
            seconds = int(hours) * 3600 + int(minutes) * 60 + Fraction(rest)
        elif container.duration:
            seconds = Fraction(container.duration, av.time_base)
        else:
            return None
        return round(seconds * self.frame_rate) if self.frame_rate else None


def as_fraction(value: Any) -> Fraction | None:
    """Fraction of a rational of PyAV, or None if it is unset: a Fraction, or from version 19 on a type of its own."""
    return Fraction(value.numerator, value.denominator) if value else None


def _open(path: Path, hwaccel: str | None = None) -> InputContainer:
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes); {_KINDS}")
    # "file:" because FFmpeg takes the part of a name before a colon for a protocol; the whitelist because a playlist
    # must not make it fetch other resources.
    url, options = f"file:{path}", {"protocol_whitelist": "file"}
    try:
        container = av.open(url, mode="r", container_options=options)
    except EOFError as error:
        raise VideoError(f"{path}: holds no frame, or is truncated; {_KINDS}") from error
    except (av.FFmpegError, OSError) as error:
        with path.open("rb") as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
        hint = "it may be truncated; record or download it again" if is_mp4 else _KINDS
        raise VideoError(f"{path}: cannot be read as a video ({error.strerror}); {hint}") from error
    name = container.format.name
    if name in ("tty", "image2") or name.endswith("_pipe"):  # text, or a single image
        container.close()
        raise VideoError(f"{path}: is not a video; {_KINDS}")
    if hwaccel is None:
        return container
    container.close()
    if hwaccel not in hwdevices_available():
        raise _no_decoder(path, hwaccel)
    try:
        return av.open(
            url, mode="r", container_options=options, hwaccel=HWAccel(hwaccel, allow_software_fallback=False)
        )
    except (av.FFmpegError, RuntimeError, ValueError) as error:
        raise _no_decoder(path, hwaccel) from error


def _no_decoder(path: Path, hwaccel: str) -> DeviceError:
    kinds = ", ".join(hwdevices_available()) or "none"
    return DeviceError(
        f"{parameter('hwaccel', hwaccel)}: cannot decode {path} here; FFmpeg was built with {kinds}, which need the "
        f"hardware, its driver and a codec it supports; leave {parameter('hwaccel')} out to decode on the CPU"
    )


def main_video_stream(container: InputContainer) -> VideoStream | None:
    """First video stream that is not cover art, or None."""
    return next((stream for stream in container.streams.video if not stream.disposition & _COVER_ART), None)


def _video_stream(container: InputContainer, path: Path, index: int | None) -> VideoStream:
    stream = main_video_stream(container)
    if index is not None:
        stream = next((each for each in container.streams.video if each.index == index), None)
        if stream is None:
            raise VideoError(f"{path}: {parameter('stream', index)} is no video stream of it")
    if stream is None:
        raise VideoError(f"{path}: has no video stream; {_KINDS}")
    if stream.codec_context is None:
        raise VideoError(f"{path}: its video codec is unknown; convert it to H.264, for example")
    return stream
