"""Small video files whose frames show their number, their orientation and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 160, 96
CORNERS = {
    "top left": (220, 30, 30),
    "top right": (30, 200, 30),
    "bottom left": (30, 30, 220),
    "bottom right": (230, 220, 40),
}
_BITS = 6
_MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # AVColorSpace → Kr, Kb


def marked_image(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """RGB, uint8, H×W×3: a colour in each corner, the number as six black and white blocks across the middle."""
    image = np.full((height, width, 3), 128, np.uint8)
    h, w = height // 3, width // 3
    top_left, top_right, bottom_left, bottom_right = CORNERS.values()
    image[:h, :w], image[:h, -w:], image[-h:, :w], image[-h:, -w:] = top_left, top_right, bottom_left, bottom_right
    for bit in range(_BITS):
        image[h + 2 : -h - 2, bit * width // _BITS : (bit + 1) * width // _BITS] = 235 if number >> bit & 1 else 20
    return image


def number_of(image: np.ndarray) -> int:
    """The number that ``marked_image`` wrote."""
    height, width = image.shape[:2]
    row = image[height // 2 - 2 : height // 2 + 2].mean(axis=(0, 2))
    return sum(int(row[(2 * bit + 1) * width // (2 * _BITS)] > 128) << bit for bit in range(_BITS))


def corners_of(image: np.ndarray) -> dict[str, tuple[int, ...]]:
    height, width = image.shape[:2]
    top, bottom, left, right = height // 6, height - height // 6 - 1, width // 6, width - width // 6 - 1
    positions = [(top, left), (top, right), (bottom, left), (bottom, right)]
    return {name: tuple(int(v) for v in image[y, x]) for name, (y, x) in zip(CORNERS, positions, strict=True)}


def assert_colours(image: np.ndarray, tolerance: int = 8, grey: bool = False) -> None:
    """Fails unless each corner has its colour: upright, not mirrored, right matrix and range."""
    for name, found in corners_of(image).items():
        r, g, b = CORNERS[name]
        wanted = (round(0.299 * r + 0.587 * g + 0.114 * b),) * 3 if grey else (r, g, b)
        assert np.abs(np.subtract(found, wanted)).max() <= tolerance, f"{name} is {found}, not {wanted}"


def to_yuv(image: np.ndarray, matrix: int = 6, full_range: bool = False, bits: int = 8) -> av.VideoFrame:
    """4:2:0 by the formulas of BT.601, 709 and 2020, not by the library under test."""
    kr, kb = _MATRICES[matrix]
    r, g, b = (image[..., channel] / 255.0 for channel in range(3))
    y = kr * r + (1 - kr - kb) * g + kb * b
    planes = [y, (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)]
    scale = 1 << (bits - 8)
    if full_range:
        planes = [planes[0] * 255, planes[1] * 255 + 128, planes[2] * 255 + 128]
    else:
        planes = [planes[0] * 219 + 16, planes[1] * 224 + 128, planes[2] * 224 + 128]
    kind = np.uint8 if bits == 8 else np.uint16
    frame = av.VideoFrame(image.shape[1], image.shape[0], "yuv420p" if bits == 8 else "yuv420p10le")
    for plane, values, step in zip(frame.planes, planes, (1, 2, 2), strict=True):
        values = np.clip(np.rint(values[::step, ::step] * scale), 0, 256 * scale - 1).astype(kind)
        rows = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    return frame


def write_clip(
    path: Path,
    numbers: Iterable[int] = range(12),
    *,
    codec: str = "libx264",
    container: str | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    matrix: int = 6,
    full_range: bool = False,
    tag: bool = True,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    images: Sequence[np.ndarray] | None = None,
    audio: Sequence[str] = (),
    audio_seconds: float = 1.0,
) -> Path:
    """A video of ``marked_image`` frames (or of ``images``), with as many sine tones as there are ``audio`` codecs."""
    width, height = size
    images = [marked_image(number, width, height) for number in numbers] if images is None else images
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.options = {"preset": "ultrafast", "crf": "5"} if codec in ("libx264", "libx265") else {}
        if codec == "libx265":
            stream.options = {**stream.options, "x265-params": "log-level=none"}
        if codec in ("mpeg4", "mjpeg"):
            stream.options = {"qmin": "1", "qmax": "2"}
        if codec.startswith("libvpx"):
            stream.options = {"crf": "4", "b": "4M", "cpu-used": "8", "deadline": "realtime"}
        stream.options = {**stream.options, **(options or {})}
        stream.codec_context.time_base = time_base or 1 / Fraction(rate)
        if tag and codec != "gif":
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = 2 if full_range else 1
        if rotation is not None or mirrored:
            stream.set_display_rotation(rotation or 0, hflip=mirrored)
        tones = [output.add_stream(name, rate=48000) for name in audio]
        if tones:
            output.start_encoding()
            for tone in tones:
                _write_tone(output, tone, audio_seconds)
        for position, image in enumerate(images):
            if pix_fmt in ("yuv420p", "yuv420p10le"):
                frame = to_yuv(image, matrix, full_range, 10 if "10" in pix_fmt else 8)
            else:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image)).reformat(format=pix_fmt)
            frame.pts, frame.time_base = (pts[position] if pts else position), stream.codec_context.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _write_tone(output: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    samples = (np.sin(np.arange(int(48000 * seconds)) / 17) * 8000).astype(np.int16)
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(stream.format.name, stream.layout.name, 48000, size)
    frame = av.AudioFrame.from_ndarray(np.repeat(samples, 2)[None], "s16", "stereo")
    frame.sample_rate, frame.pts = 48000, 0
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """For each stream of ``kind`` its packets: seconds and content."""
    found = []
    with av.open(str(path)) as probe:
        indices = [stream.index for stream in getattr(probe.streams, kind)]
    for index in indices:
        with av.open(str(path)) as container:
            stream = container.streams[index]
            found.append([(p.pts * stream.time_base, bytes(p)) for p in container.demux(stream) if p.size])
    return found
