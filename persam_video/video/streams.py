"""Choice of the video stream that is read, and the size of its frames before one is decoded."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from persam_video.errors import VideoError
from persam_video.messages import parameter
from persam_video.video.container import KINDS, open_container
from persam_video.video.media_file import MediaFile

logger = logging.getLogger(__name__)

_COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails
_MAX_PROBED_PIXELS = 1 << 28  # of formats without a size in a header: one frame of 16384×16384 is decoded for it
_PACKETS_LOOKED_AT = 2000  # two of each stream come much earlier where both are videos


def video_stream(container: InputContainer, media: MediaFile, wanted: int | None, max_pixels: int) -> VideoStream:
    """Video stream to read; where the choice is not given, and there are several, it is told in a warning.

    Without ``wanted`` it is the one that players show: no cover art, more than a single image, the largest frames; of
    several such the one flagged as default, or the first.

    Args:
        wanted: index among all streams of the container, as ``ffprobe`` counts them.
        max_pixels: see `open_container`.

    Raises:
        VideoError: there is none, or the wanted one is none.
    """
    if wanted is not None:
        chosen = _wanted_stream(container, media, wanted)
    else:
        candidates = [stream for stream in container.streams.video if not stream.disposition & _COVER_ART]
        if not candidates:
            raise VideoError(f"{media.path}: has no video stream; {KINDS}")
        candidates = [stream for stream in candidates if stream.codec_context is not None] or candidates
        chosen = candidates[0]
        if len(candidates) > 1:
            moving = _moving(candidates, media, max_pixels)
            chosen = max(candidates, key=lambda stream: (stream.index in moving, *_preference(stream)))
            logger.warning(
                f"{media.path}: has {len(candidates)} video streams, {describe_streams(candidates)}; stream "
                f"{chosen.index} is read, give {parameter('stream')} for another one"
            )
    if chosen.codec_context is None:
        raise VideoError(f"{media.path}: its video codec is unknown; convert it to H.264, for example")
    return chosen


def describe_streams(streams: list[VideoStream]) -> str:
    """Indices and sizes of streams: ``0 (160×90), 1 (480×272)``."""
    return ", ".join(f"{stream.index} ({_describe_size(stream)})" for stream in streams)


def frame_size(stream: VideoStream, media: MediaFile) -> tuple[int, int]:
    """Width and height of the stored frames, read without decoding one; (0, 0) where that is not possible.

    FFmpeg forgets the size of those that are above the limit with which the stream was opened.
    """
    found = _size_of(stream) or image_size(media.head(1 << 16))
    for limit in (0, _MAX_PROBED_PIXELS):  # the header alone, then also what decoders say
        if found is not None:
            break
        with suppress(av.FFmpegError, VideoError, OSError), open_container(media, max_pixels=limit) as container:
            again = next(each for each in container.streams.video if each.index == stream.index)
            packets = (packet for packet in container.demux(again) if packet.size)
            found = _size_of(again) or image_size(bytes(next(packets, b"")))
    return found or (0, 0)


def _wanted_stream(container: InputContainer, media: MediaFile, wanted: int) -> VideoStream:
    videos = list(container.streams.video)
    chosen = next((stream for stream in videos if stream.index == wanted), None)
    if chosen is not None:
        return chosen
    others = {stream.index: stream.type for stream in container.streams}
    fault = f"is of the kind {others[wanted]}" if wanted in others else "does not exist"
    there = f"the video streams are {describe_streams(videos)}" if videos else "there is no video stream"
    raise VideoError(f"{media.path}: {parameter('stream', wanted)} {fault}; {there}")


def _preference(stream: VideoStream) -> tuple[int, bool, int]:
    context = stream.codec_context
    area = context.width * context.height if context is not None else 0
    # The flag comes second: many programs set it for the first stream, whatever that is.
    return area, bool(stream.disposition & Disposition.default), -stream.index


def _moving(candidates: list[VideoStream], media: MediaFile, max_pixels: int) -> set[int]:
    """Indices of the streams that have more than one packet among the first ones of the file."""
    counts: Counter[int] = Counter()
    indices = [stream.index for stream in candidates]
    try:
        with open_container(media, max_pixels=max_pixels) as container:
            packets = container.demux(*(container.streams[index] for index in indices))
            for number, packet in enumerate(packets):
                counts[packet.stream_index] += bool(packet.size)
                if number == _PACKETS_LOOKED_AT or all(counts[index] > 1 for index in indices):
                    break
    except (av.FFmpegError, VideoError, OSError):  # reading it will tell
        pass
    return {index for index in indices if counts[index] > 1}


def _size_of(stream: VideoStream) -> tuple[int, int] | None:
    context = stream.codec_context
    return (context.width, context.height) if context is not None and context.width and context.height else None


def _describe_size(stream: VideoStream) -> str:
    size = _size_of(stream)
    return "unknown size" if size is None else f"{size[0]}×{size[1]}"


def image_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a GIF, PNG or JPEG image; None where there is none."""
    if content.startswith(b"GIF8"):
        return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
    if content.startswith(b"\x89PNG"):
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    position = 2 if content.startswith(b"\xff\xd8") else len(content)
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header
            height, width = content[position + 5 : position + 7], content[position + 7 : position + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return None
