"""Opening of a video's container, in formats that open no other file."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer

from persam_video.errors import DeviceError, VideoError
from persam_video.files.images import MAX_PIXELS
from persam_video.messages import one_line, parameter
from persam_video.video.media_file import MediaFile
from persam_video.video.playlist import raising_interrupts

KINDS = "give an mp4, mov, mkv, webm, avi, ts or gif file, a folder of images, or a pattern of image files"

_MOST_PIXELS = 2**31 - 1  # that FFmpeg counts
_RAW = (
    "mpegvideo mpeg1video mpeg2video m4v h261 h263 h264 hevc vvc vc1 vc1test av1 obu ivf evc dirac cavsvideo avs2 avs3 "
    "mjpeg mjpeg_2000 dnxhd apv"
)
_VIDEO = (
    "mov,mp4,m4a,3gp,3g2,mj2 matroska,webm avi mpegts mpegtsraw mpeg flv live_flv kux ogg asf asf_o gif apng mpjpeg "
    "mxf gxf nut dv rm wtv ty nsv nuv swf yuv4mpegpipe amv r3d dhav lxf mlv cine ser flic smk bink pva pmp mtv thp"
)
_AUDIO = "mp3 aac ac3 eac3 dts flac wav w64 aiff au caf amr ape wv tta mpc mpc8 opus oga tak truehd xwma"
FORMATS = ",".join(f"{_RAW} {_VIDEO} {_AUDIO}".split())
"""Formats that FFmpeg may take a file for. Playlists and scripts, which name other files, are not among them, nor
devices, single images and text. Those of audio are, so that the message about them is right."""

RESYNCING_FORMATS = frozenset(
    f"{_RAW} mpegts mpegtsraw mpeg mpjpeg flv live_flv kux ogg asf asf_o nut dv wtv ty pva dhav".split()
)
"""Formats made for transmission: readers find the next packet after lost data, and recordings of them are joined by
appending one to the other."""

_FORMATS_BY_SUFFIX = {".mjpeg": "mjpeg", ".mjpg": "mjpeg"}  # FFmpeg takes them for single images

_SCRIPTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat version": "an ffconcat script",
    b"[playlist]": "a playlist",
    b"[Reference]": "a playlist",
    b"v=0": "an SDP session description",
}
_XML = {b"<MPD": "a DASH manifest", b"<CompositionPlaylist": "an IMF playlist", b"<AssetMap": "an IMF asset map"}


def open_container(
    media: MediaFile, *, max_pixels: int = MAX_PIXELS, hwaccel: str | None = None, from_reader: bool = False
) -> InputContainer:
    """Open container of a video.

    Args:
        max_pixels: frames that are larger are not decoded while FFmpeg looks at the streams; 0: none is.
        hwaccel: the kind of device that decodes, such as ``cuda``; None for the CPU.
        from_reader: read the file through `MediaFile.reader`, which works when it was removed.

    Raises:
        VideoError: it is no video, or damaged from the beginning.
        DeviceError: the device cannot decode it.
    """
    if hwaccel is not None:
        open_container(media, max_pixels=max_pixels).close()  # refused for its own faults first
        if hwaccel not in hwdevices_available():
            raise no_decoder(media, hwaccel)
    source: Any = media.reader() if from_reader or media.url is None else media.url
    device = HWAccel(hwaccel, allow_software_fallback=False) if hwaccel is not None else None
    try:
        with raising_interrupts():
            container: InputContainer = av.open(
                source,
                mode="r",
                format=_FORMATS_BY_SUFFIX.get(media.path.suffix.lower()),
                options=decoder_options(max_pixels) if max_pixels else None,
                # "file" because FFmpeg takes the part of a name before a colon for a protocol; a file with references
                # to other resources must not make it open them.
                container_options={
                    "protocol_whitelist": "file",
                    "format_whitelist": FORMATS,
                    **({} if max_pixels else {"codec_whitelist": "none"}),
                },
                metadata_errors="replace",  # tags are never needed
                hwaccel=device,
            )
            return container
    except EOFError as error:
        raise VideoError(f"{media.path}: holds no frame, or is truncated; {KINDS}") from error
    except (av.FFmpegError, OSError, RuntimeError, ValueError) as error:
        if hwaccel is not None:
            raise no_decoder(media, hwaccel) from error
        raise _refusal(media, error) from error


def decoder_options(max_pixels: int) -> dict[str, str]:
    """Options of a decoder that make it refuse frames that are much larger than a limit.

    FFmpeg counts the padding of its buffers, which for small frames is more than the frame.
    """
    return {"max_pixels": str(min(2 * max_pixels + (1 << 16), _MOST_PIXELS))}


def _refusal(media: MediaFile, error: Exception) -> VideoError:
    head = media.head()
    script = _script_kind(head)
    if script is not None:
        return VideoError(
            f"{media.path}: is {script}, which names other files, and no video; give those files, or join them first, "
            f"for example: ffmpeg -i {media.path.name} -c copy joined.mp4"
        )
    hint = "it may be truncated; record or download it again" if head[4:8] == b"ftyp" else KINDS
    if isinstance(error, ValueError):  # of the list of formats
        return VideoError(f"{media.path}: is not a video; {hint}")
    return VideoError(f"{media.path}: cannot be read as a video ({reason_of(error)}); {hint}")


def _script_kind(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, kind in _SCRIPTS.items():
        if text.startswith(start):
            return kind
    if text.startswith(b"<"):
        return next((kind for element, kind in _XML.items() if element in text), None)
    return None


def no_decoder(media: MediaFile, hwaccel: str) -> DeviceError:
    """Error of a device that cannot decode a video."""
    kinds = ", ".join(hwdevices_available()) or "none"
    return DeviceError(
        f"{parameter('hwaccel', hwaccel)}: cannot decode {media.path} here; FFmpeg was built with {kinds}, which need "
        f"the hardware, its driver and a codec it supports; leave {parameter('hwaccel')} out to decode on the CPU"
    )


def as_fraction(value: Any) -> Fraction | None:
    """Fraction of a rational of PyAV, or None if it is unset: a Fraction, or from version 19 on a type of its own."""
    return Fraction(value.numerator, value.denominator) if value else None


def reason_of(error: Exception) -> str:
    """Text of an error in one line, of those of PyAV without the name of FFmpeg's function."""
    return getattr(error, "strerror", None) or one_line(error)
