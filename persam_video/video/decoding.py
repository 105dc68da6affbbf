"""Decoding of one video stream, with damage that can be passed over distinguished from the end of what can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from persam_video.frame import LARGE_FRAME_PIXELS
from persam_video.messages import parameter, pluralize
from persam_video.video.container import decoder_options, reason_of
from persam_video.video.playlist import raising_interrupts
from persam_video.video.streams import image_size
from persam_video.video.timeline import Timeline

_THREADS_OF_LARGE_FRAMES = 1
_MAX_FAILURES = 100  # to read a packet, one after another


class BrokenError(Exception):
    """Decoding cannot continue; the message is the reason."""


@dataclass
class Damage:
    """What was passed over: packets flagged as damaged, packets that could not be decoded, frames of which parts could
    not, times that restart."""

    flagged: int = 0
    undecodable: int = 0
    incomplete: int = 0
    restarts: int = 0

    def describe(self) -> list[str]:
        """Phrases, each with a count; none without damage."""
        phrases = []
        if self.flagged:
            phrases.append(f"{_were(self.flagged)} flagged as damaged (data before or in them are missing)")
        if self.undecodable:
            phrases.append(f"{pluralize(self.undecodable, 'packet')} could not be decoded")
        if self.incomplete:
            phrases.append(f"parts of {pluralize(self.incomplete, 'frame')} could not be decoded and are guessed")
        if self.restarts:
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            phrases.append(f"the times restarted {times}, as in joined recordings, and go on from there")
        return phrases


def _were(packets: int) -> str:
    return f"{pluralize(packets, 'packet')} {'was' if packets == 1 else 'were'}"


class Decoding:
    """One pass over the frames of a stream.

    Args:
        container: just opened.
        stream: one of its streams.
        size: of the file, bytes.
        max_pixels: limit of a frame's pixels.
        resyncs: whether the format is made for transmission: damage is passed over, and times that restart are moved.
        is_cut_short: whether the file ends too early, given the number of packets and the time at which the last one
            ends in units of the stream's time base; asked at the end.
        drop_last: whether the last packet is known to be incomplete.
        max_packets: packets after these are incomplete.

    Attributes:
        damage: what was passed over.
        tail_is_missing: whether frames of the last packets were not decoded; known at the end.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        size: int,
        max_pixels: int,
        resyncs: bool,
        is_cut_short: Callable[[int, int | None], bool],
        drop_last: bool = False,
        max_packets: int | None = None,
    ) -> None:
        self.damage = Damage()
        self.tail_is_missing = False
        self._container, self._stream = container, stream
        stream.codec_context.options = decoder_options(max_pixels)
        self._max_pixels = max_pixels
        self._size, self._resyncs, self._is_cut_short = size, resyncs, is_cut_short
        self._drop_last, self._max_packets = drop_last, max_packets
        self._timeline = Timeline()
        self._broken: BrokenError | None = None
        self._next_dts: int | None = None  # of the packet after the last complete one
        self._newest_pts: int | None = None
        self._shown_pts: int | None = None

    def frames(self, thread_type: str) -> Iterator[av.VideoFrame]:
        """All frames in presentation order.

        Args:
            thread_type: of the decoder, ``AUTO`` or ``NONE``.
        Raises:
            BrokenError: a packet cannot be decoded, or the file ends before it should.
        """
        self._stream.thread_type = thread_type
        context = self._stream.codec_context
        if context.width * context.height > LARGE_FRAME_PIXELS:  # each thread holds a frame
            context.thread_count = _THREADS_OF_LARGE_FRAMES
        count, end = 0, None
        for packet in self._whole_packets():
            count += packet.dts is not None or packet.pts is not None
            if not packet.size:  # a dropped frame; the decoder would take it for the end
                continue
            if packet.dts is not None:
                self._next_dts = packet.dts + (packet.duration or 0)
            if packet.pts is not None and not packet.is_discard:
                newest = self._newest_pts
                self._newest_pts = packet.pts if newest is None else max(newest, packet.pts)
                end = self._newest_pts + (packet.duration or 0)
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._check_size(*(image_size(bytes(packet)) or (context.width, context.height)))
                if not self._resyncs:
                    # Frames that the decoder still holds may depend on the broken packet: they are dropped.
                    raise BrokenError(reason_of(error)) from error
                self.damage.undecodable += 1
                continue
            yield from self._shown(frames)
        if self._broken is None and self._is_cut_short(count, end):
            self._broken = BrokenError("the file ends too early")
        yield from self._held(thread_type)
        if self._broken is not None:
            raise self._broken
        newest, shown = self._newest_pts, self._shown_pts
        self.tail_is_missing = newest is not None and (shown is None or shown < newest)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise BrokenError(
                f"its frames become {width}×{height} pixels, more than the limit of {self._max_pixels:,}; "
                f"raise {parameter('max_pixels')}"
            )

    def _whole_packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets up to the first that is not whole; then the fault is in ``_broken``."""
        last: Packet[VideoStream] | None = None
        for number, packet in enumerate(self._packets()):
            if self._max_packets is not None and number >= self._max_packets and packet.size:
                self._broken = BrokenError("the file ends within it")
                break
            if packet.is_corrupt:
                if packet.pos is not None and packet.pos + packet.size >= self._size:
                    self._broken, self._next_dts = BrokenError("the file ends within it"), packet.dts
                    break
                self.damage.flagged += 1
            if self._resyncs and packet.size:
                self._timeline.move(packet)
                self.damage.restarts = self._timeline.restarts
            if not self._drop_last:
                yield packet
            elif packet.size:
                if last is not None:
                    yield last
                last = packet
        if self._drop_last and self._broken is None:
            self._broken = BrokenError("the file ends within it")
            self._next_dts = None if last is None else last.dts

    def _packets(self) -> Iterator[Packet[Any]]:
        failures = 0
        while self._broken is None:
            try:
                with raising_interrupts():
                    for packet in self._container.demux(self._stream):
                        failures = 0
                        yield packet
                return
            except (av.FFmpegError, OSError) as error:
                failures += 1
                if not self._resyncs or failures > _MAX_FAILURES:
                    self._broken = BrokenError(reason_of(error))
                else:
                    self.damage.undecodable += failures == 1

    def _held(self, thread_type: str) -> Iterator[av.VideoFrame]:
        """The frames that the decoder still holds."""
        try:
            held = self._stream.codec_context.decode(None)
        except av.FFmpegError as error:
            held = []
            if thread_type == "NONE" and not isinstance(error, EOFError):
                if self._resyncs:
                    self.damage.undecodable += 1
                else:
                    self._broken = self._broken or BrokenError(reason_of(error))
        if self._broken is not None and self._next_dts is not None:
            # Frames before those that come later may be missing.
            held = [frame for frame in held if frame.pts is None or frame.pts <= self._next_dts]
        yield from self._shown(held)

    def _shown(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self._check_size(frame.width, frame.height)
            self._shown_pts = frame.pts
            self.damage.incomplete += frame.is_corrupt
            yield frame
