"""The stream that players show is read, and the shape of its pixels is kept."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from video_files import HEIGHT, WIDTH, marked_image, number_of, packets, to_yuv

from persam_video.errors import VideoError
from persam_video.frame import Frame
from persam_video.outputs.overlay import OverlayOutput
from persam_video.result import FrameResult
from persam_video.video.reader import open_video

SMALL = (80, 48)
Stream = tuple[str, tuple[int, int], int]
"""Codec, size, number of frames."""


def write_streams(path: Path, streams: Sequence[Stream], dispositions: Sequence[Disposition | None] = ()) -> Path:
    """Video of several streams; the frames of the n-th show the numbers from 20 n on."""
    with av.open(str(path), "w") as output:
        opened = []
        for codec, (width, height), _ in streams:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            opened.append(stream)
        for stream, disposition in zip(opened, dispositions, strict=False):
            if disposition is not None:
                stream.disposition = disposition
        for position in range(max(count for *_, count in streams)):
            for number, (stream, (codec, size, count)) in enumerate(zip(opened, streams, strict=True)):
                if position < count:
                    frame = to_yuv(marked_image(20 * number + position, *size), full_range=codec == "mjpeg")
                    frame = frame if codec != "mjpeg" else frame.reformat(format="yuvj420p")
                    frame.pts, frame.time_base = position, Fraction(1, 25)
                    output.mux(stream.encode(frame))
        for stream in opened:
            output.mux(stream.encode(None))
    return path


def read(path: Path, **options: int) -> list[int]:
    with open_video(path, **options) as reader:
        return [number_of(frame.image) for frame in reader]


MAIN = ("mpeg4", (WIDTH, HEIGHT), 8)


@pytest.mark.parametrize("suffix", ["mov", "mkv", "mp4"])
@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([("mjpeg", (320, 192), 1)], "0 (320×192), 1 (160×96)"),  # a large cover
        ([("mjpeg", SMALL, 1)], "0 (80×48), 1 (160×96)"),
        ([("mpeg4", SMALL, 8)], "0 (80×48), 1 (160×96)"),  # a preview
        ([("mpeg4", SMALL, 8), ("mjpeg", (320, 192), 1)], "0 (80×48), 1 (320×192), 2 (160×96)"),
    ],
)
def test_covers_and_previews_are_not_read(
    others: list[Stream], words: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_streams(tmp_path / f"clip.{suffix}", [*others, MAIN])
    main = len(others)
    assert read(path) == [20 * main + i for i in range(8)]
    (message,) = caplog.messages
    assert words in message and f"stream {main} is read, give stream" in message
    with open_video(path) as reader:
        assert reader.info.stream == main and (reader.info.width, reader.info.height) == (WIDTH, HEIGHT)


def test_the_main_stream_may_come_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(write_streams(tmp_path / "clip.mkv", [MAIN, ("mpeg4", SMALL, 8)])) == list(range(8))
    assert "stream 0 is read" in caplog.text


def test_streams_of_one_size_the_first(tmp_path: Path) -> None:
    assert read(write_streams(tmp_path / "clip.mkv", [MAIN, MAIN])) == list(range(8))


def test_of_streams_of_one_size_the_default(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "clip.mkv", [MAIN, MAIN], [Disposition(0), Disposition.default])
    assert read(path) == [20 + i for i in range(8)]


def test_one_stream_needs_no_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(write_streams(tmp_path / "clip.mp4", [MAIN])) == list(range(8))
    assert caplog.messages == []


def test_a_single_frame_is_a_video_where_there_is_no_other(tmp_path: Path) -> None:
    assert read(write_streams(tmp_path / "clip.mov", [("mjpeg", SMALL, 1)])) == [0]


def test_a_stream_can_be_chosen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_streams(tmp_path / "clip.mkv", [("mpeg4", SMALL, 8), MAIN])
    assert read(path, stream=0) == list(range(8))
    assert read(path, stream=1) == [20 + i for i in range(8)]
    assert caplog.messages == []
    for wrong in (2, -1, 99):
        with pytest.raises(VideoError, match=rf"stream={wrong} does not exist; .* 0 \(80×48\), 1 \(160×96\)$"):
            open_video(path, stream=wrong)


def test_a_stream_of_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        video, audio = output.add_stream("mpeg4", rate=25), output.add_stream("ac3", rate=48000)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1536), np.float32), "fltp", "stereo")
        sound.sample_rate = 48000
        output.mux(video.encode(to_yuv(marked_image(0))))
        output.mux(audio.encode(sound))
        output.mux(video.encode(None))
    with pytest.raises(VideoError, match=r"stream=1 is of the kind audio; the video streams are 0 \(160×96\)"):
        open_video(path, stream=1)


def write_anamorphic(path: Path, aspect: Fraction, rotation: int | None = None) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number in range(3):
            output.mux(stream.encode(to_yuv(marked_image(number))))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("aspect", "rotation", "written"),
    [
        (Fraction(4, 3), None, Fraction(4, 3)),
        (Fraction(128, 117), None, Fraction(128, 117)),
        (Fraction(4, 3), 90, Fraction(3, 4)),
        (Fraction(1), None, None),
    ],
)
def test_the_overlay_is_stretched_as_the_video_is(
    suffix: str, aspect: Fraction, rotation: int | None, written: Fraction | None, tmp_path: Path
) -> None:
    output = OverlayOutput(tmp_path / f"overlay.{suffix}")
    with open_video(write_anamorphic(tmp_path / "clip.mp4", aspect, rotation)) as reader:
        output.open(reader.info, overwrite=False)
        for frame in reader:
            output.prepare(_without_objects(frame))()
        output.close()
    with av.open(str(output.path)) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio in ((None, 1) if written is None else (written,))
    assert len(packets(output.path, "video")[0]) == 3


def _without_objects(frame: Frame) -> FrameResult:
    return FrameResult.of(frame, np.zeros(frame.image.shape[:2], np.uint8), {})
