"""Copy of a video's audio into a new video, packet by packet, without re-encoding it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from persam_video.errors import VideoError
from persam_video.video.container import RESYNCING_FORMATS, as_fraction, open_container, reason_of
from persam_video.video.media_file import MediaFile
from persam_video.video.timeline import Timeline

logger = logging.getLogger(__name__)

_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


class AudioCopy:
    """All audio streams of ``source``, added to ``output`` and copied in step with its video.

    A fault of the audio is logged once, as a warning, and never stops the video.

    Args:
        media: bytes of the video whose frames are written.
        video_stream: index of the stream of these frames; None: the first one.
        output: the new container, before its header is written.
        name: path of the new file, for messages.
    """

    def __init__(self, media: MediaFile, video_stream: int | None, output: OutputContainer, name: str) -> None:
        self._media, self._output, self._name = media, output, name
        self._video_stream = video_stream
        self._timelines: dict[int, Timeline] = {}  # by the index of the source's stream
        self._has_failed = False
        self._streams: dict[int, AudioStream] = {}  # by the index of the source's stream
        self._pending: Packet[Any] | None = None
        self._start = self._shift = Fraction(0)
        self._packets: Iterator[Packet[Any]] = iter(())
        self.video_start: Fraction | None = None  # of the source's video, seconds
        self._container: InputContainer | None = None
        try:
            self._container = open_container(media)
        except (av.FFmpegError, OSError, VideoError) as error:
            self._fail(reason_of(error))
            return
        video = self._video_of(self._container)
        if video is not None and video.start_time is not None and (unit := as_fraction(video.time_base)):
            self.video_start = video.start_time * unit
        self._resyncs = self._container.format.name in RESYNCING_FORMATS
        for stream in self._container.streams.audio:
            self._add(stream)

    def __bool__(self) -> bool:
        return bool(self._streams)

    def begin(self, start: Fraction, shift: Fraction) -> None:
        """Set the range to copy.

        Args:
            start: packets before it (seconds, of the source) are left out.
            shift: seconds subtracted from the packets' times. 0: the video is written from its beginning, and no packet
                is left out.
        """
        self._start, self._shift = start, shift
        if self._container is not None and self._streams:
            streams = [stream for stream in self._container.streams.audio if stream.index in self._streams]
            self._packets = self._container.demux(*streams)

    def copy_until(self, time: Fraction) -> None:
        """Copy the packets up to ``time`` (seconds, of the source)."""
        while (packet := self._next()) is not None:
            if _time(packet) > time:
                self._pending = packet
                return
            self._mux(packet)

    def finish(self, end: Fraction) -> None:
        """Copy the rest; only up to ``end`` (seconds, of the source) where the source's video continues after that."""
        if not self._streams:
            return
        limit = end if self._video_continues(end) else None
        open_streams = set(self._streams)
        while open_streams and (packet := self._next()) is not None:
            if limit is not None and _time(packet) >= limit:
                open_streams.discard(packet.stream.index)
            else:
                self._mux(packet)

    def reject(self) -> None:
        """Warn that the container does not accept the audio after all, and close the source."""
        self._has_failed = True
        self._warn_of_codec(" and ".join(sorted({_codec_name(stream) for stream in self._streams.values()})))
        self.close()

    def close(self) -> None:
        """Close the source. May be repeated."""
        self._packets, self._pending, self._streams = iter(()), None, {}
        if self._container is not None:
            self._container.close()

    def _add(self, stream: AudioStream) -> None:
        try:
            if stream.codec_context is None:
                raise ValueError("unknown codec")
            copy = self._output.add_stream_from_template(stream)
        except (av.FFmpegError, ValueError):
            self._warn_of_codec(_codec_name(stream))
            return
        if language := stream.language:
            copy.metadata["language"] = language
        self._streams[stream.index] = copy

    def _next(self) -> Packet[Any] | None:
        """Next packet that can be copied and is not before the start."""
        if self._pending is not None:
            packet, self._pending = self._pending, None
            return packet
        while True:
            try:
                following = next(self._packets, None)
            except (av.FFmpegError, OSError) as error:  # the latter of an open file's own read
                self._fail(reason_of(error))
                self._packets = iter(())
                return None
            if following is None:
                return None
            if not following.size or following.is_corrupt or (following.pts is None and following.dts is None):
                continue
            if self._resyncs:
                self._timelines.setdefault(following.stream.index, Timeline()).move(following)
            if self._shift and _time(following) < self._start:
                continue
            return following

    def _mux(self, packet: Packet[Any]) -> None:
        index, unit = packet.stream.index, Fraction(packet.time_base.numerator, packet.time_base.denominator)
        shift = round(self._shift / unit)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        packet.stream = self._streams[index]
        try:
            self._output.mux_one(packet)
        except av.FFmpegError as error:
            if error.errno in _STORAGE_ERRORS:  # not the fault of the audio
                raise
            self._fail(reason_of(error))

    def _video_continues(self, end: Fraction) -> bool:
        """Whether the source has video at or after ``end`` seconds: then the new video ends earlier than the source."""
        try:
            with open_container(self._media, from_reader=True) as container:  # its name may be gone
                video = self._video_of(container)
                if video is None or (unit := as_fraction(video.time_base)) is None:
                    return False
                container.seek(int(end / unit), stream=video)
                return any(
                    packet.size and packet.pts is not None and packet.pts * unit >= end
                    for packet in container.demux(video)
                )
        except (av.FFmpegError, OSError, VideoError):
            return False

    def _video_of(self, container: InputContainer) -> VideoStream | None:
        videos = container.streams.video
        return next((each for each in videos if self._video_stream in (None, each.index)), None)

    def _warn_of_codec(self, codec: str) -> None:
        container = Path(self._name).suffix
        advice = "give an .mkv file to keep it" if container != ".mkv" else "convert the audio first"
        logger.warning(f"{self._name}: {container} cannot hold {codec} audio, left out; {advice}")

    def _fail(self, reason: str) -> None:
        if not self._has_failed:
            logger.warning(
                f"{self._media.path}: its audio could not be copied completely ({reason}); {self._name} has only a part"
            )
        self._has_failed = True


def _codec_name(stream: AudioStream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"


def _time(packet: Packet[Any]) -> Fraction:
    """Presentation time of a packet, in seconds of the source."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return (ticks or 0) * Fraction(packet.time_base.numerator, packet.time_base.denominator)
