"""What a video is read from: playlists, patterns, frames in memory, open files; and what is refused at once."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import torch
from video_files import HEIGHT, WIDTH, assert_colours, marked_image, number_of, packets, write_clip

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.video.reader import open_video
from persam_video.video.writer import VideoWriter


def numbers(source: object, **options: Any) -> list[int]:
    with open_video(source, **options) as reader:
        return [number_of(frame.image) for frame in reader]


def refused(source: object, **options: Any) -> str:
    with pytest.raises(VideoError) as caught:
        open_video(source, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


# --- names ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "name of the video is empty"),
        ("-", "standard input"),
        ("https:/x.org/clip.mp4", "is an address"),
        ("https://x.org/clip.mp4", "is an address"),
        ("rtsp://camera/1", "is an address"),
        ("https://x.org/clip.mp4?token=1", "is an address"),
        ("file:///tmp/clip.mp4", "is an address"),
        ("0", "cameras are not read"),
        ("/dev/null", "is a device"),
        ("/dev/video77", "no such file"),
        ("missing.mp4", "missing.mp4: no such file"),
        ("a\0b.mp4", "is not the name of a file"),
        ("missing/%05d.jpg", "the pattern matches no image file"),
        ("[", "no image file"),
        ("**", "no image file"),
        (b"clip.mp4", "of the type bytes"),
        (None, "of the type NoneType"),
        (0, "of the type int"),
        ({}, "of the type dict"),
        ([], "list of frames is empty"),
        ((), "tuple of frames is empty"),
        (["a.jpg", 3], "of paths and of other things"),
        (["clip.mp4"], "none by its name"),
        (np.zeros((0, 8, 8, 3), np.uint8), "is empty"),
        (np.zeros((8, 8, 3), np.uint8), r"shape (8, 8, 3)"),
        (np.zeros((4, 8, 8, 7), np.uint8), r"shape (4, 8, 8, 7)"),
        ([1, 2, 3], "shape (3,)"),
        (["a.jpg", None], "of paths and of other things"),
        ([None], "frame 0 is None"),
        (iter([]), "holds no frame"),
        (PIL.Image.new("RGB", (8, 8)), "a single image"),
        (io.StringIO("text"), "open as text"),
        (io.BytesIO(b""), "is empty"),
        (io.BytesIO(b"not a video" * 100), "BytesIO: is not a video"),
    ],
)
def test_refusals(name: object, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    message = refused(name)
    assert words in message or words.replace("is not a video", "cannot be read as a video") in message
    assert time.monotonic() - began < 5


def test_pipes_sockets_and_links_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.mp4")
    assert "is a pipe" in refused("pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        assert "is a device or socket" in refused("socket.mp4")
    Path("link.mp4").symlink_to("nowhere.mp4")
    assert "link to a file that does not exist" in refused("link.mp4")


def test_a_closed_file_and_one_that_cannot_be_sought(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", range(3))
    with path.open("rb") as file:
        pass
    assert "is closed" in refused(file)
    with os.fdopen(os.pipe()[0], "rb") as pipe:
        assert "cannot be read from its beginning" in refused(pipe)
    with path.open(encoding="latin-1") as file_of_text:
        assert "open as text" in refused(file_of_text)


def test_stream_of_images_is_refused(tmp_path: Path) -> None:
    assert "only video files have streams" in refused(np.zeros((2, 8, 8, 3), np.uint8), stream=0)


# --- patterns ---


def save_images(folder: Path, names: list[str], first: int = 0) -> Path:
    for number, name in enumerate(names, first):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        PIL.Image.fromarray(marked_image(number)).save(folder / name)
    return folder


def test_numbered_files(tmp_path: Path) -> None:
    names = ["00003.png", "00004.png", "00010.png", "100000.png"]
    save_images(tmp_path, [*names, "3.png", "00003a.png", "x00003.png"])
    assert numbers(tmp_path / "%05d.png") == [0, 1, 2, 3]
    save_images(tmp_path, ["f_1.jpg", "f_2.jpg", "f_10.jpg"], first=7)
    with open_video(tmp_path / "f_%d.jpg") as reader:
        assert [frame.name for frame in reader] == ["f_1", "f_2", "f_10"]
        assert reader.info.frame_count == 3


def test_a_video_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", range(3))
    for name in ("%05d.mp4", "a[1].mp4", "what?.mp4", "**.mp4"):
        assert numbers(path.rename(tmp_path / name)) == [0, 1, 2]
        path = tmp_path / name


def test_two_asterisks(tmp_path: Path) -> None:
    save_images(tmp_path, ["a/1.png", "a/deep/2.png", "b/3.png"])
    assert numbers(tmp_path / "**" / "*.png") == [0, 1, 2]
    assert numbers(str(tmp_path / "a" / "**.png")) == [0]  # as shells understand it
    assert numbers(str(tmp_path / "**")) == [0, 1, 2]
    save_images(tmp_path, ["b/1.png"], first=9)
    with open_video(tmp_path / "*" / "1.png") as reader:
        assert [(frame.name, number_of(frame.image)) for frame in reader] == [("00000", 0), ("00001", 9)]


def test_a_list_of_files_keeps_its_order(tmp_path: Path) -> None:
    save_images(tmp_path, ["1.png", "2.png", "other/3.png"])
    files = [str(tmp_path / "2.png"), tmp_path / "other" / "3.png", tmp_path / "1.png"]
    with open_video(files) as reader:
        assert (reader.info.path, reader.info.frame_count, reader.info.is_images) == (tmp_path, 3, True)
        assert [(frame.name, number_of(frame.image)) for frame in reader] == [("2", 1), ("3", 2), ("1", 0)]
    with pytest.raises(VideoError, match=r"none\.png: no such file"):
        open_video([tmp_path / "none.png"])


# --- frames in memory ---


def images() -> list[np.ndarray]:
    return [marked_image(number) for number in range(5)]


IN_MEMORY: dict[str, Callable[[], object]] = {
    "list": images,
    "tuple": lambda: tuple(images()),
    "array": lambda: np.stack(images()),
    "channels first": lambda: np.stack(images()).transpose(0, 3, 1, 2),
    "tensor": lambda: torch.from_numpy(np.stack(images())),
    "tensor, channels first": lambda: torch.from_numpy(np.stack(images())).permute(0, 3, 1, 2),
    "list of tensors": lambda: [torch.from_numpy(image).permute(2, 0, 1) for image in images()],
    "list of Pillow images": lambda: [PIL.Image.fromarray(image) for image in images()],
    "nested lists": lambda: np.stack(images()).tolist(),
    "iterator": lambda: iter(images()),
    "generator": lambda: (image for image in images()),
    "transparent": lambda: [np.dstack([image, np.full((HEIGHT, WIDTH), 255, np.uint8)]) for image in images()],
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_frames_in_memory(kind: str) -> None:
    with open_video(IN_MEMORY[kind](), start=1, end=5, stride=2, image_frame_rate=10) as reader:
        info = reader.info
        assert (info.path, info.is_images, info.media, info.in_memory) == (Path("frames"), True, None, True)
        assert (info.width, info.height, info.frame_rate) == (WIDTH, HEIGHT, 5)
        assert info.frame_count == 2
        frames = list(reader)
    assert [(frame.index, frame.name, number_of(frame.image)) for frame in frames] == [(1, "00001", 1), (3, "00003", 3)]
    assert frames[0].time_seconds == 0.1
    for frame in frames:
        assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8
        assert_colours(frame.image)


def test_frames_are_copies() -> None:
    """As a camera's program writes each frame into the same array."""

    def same_array() -> Iterator[np.ndarray]:
        buffer = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        for number in range(4):
            buffer[:] = marked_image(number)
            yield buffer

    with open_video(same_array()) as reader:
        assert [number_of(frame.image) for frame in list(reader)] == [0, 1, 2, 3]


def test_frames_in_memory_that_do_not_fit_together() -> None:
    for wrong, words in ((marked_image(1, 80, 60), "80×60"), (None, "frame 2 is None"), ("2.jpg", "frame 2")):
        with (
            open_video(iter([*images()[:2], wrong])) as reader,
            pytest.raises(DamagedVideoError, match=words) as caught,
        ):
            list(reader)
        assert caught.value.frame_index == 2
    assert "float" in refused([image / 255 for image in images()])


def test_an_iterator_is_read_only_as_far_as_needed() -> None:
    asked = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield marked_image(asked % 64)

    with open_video(endless(), end=3) as reader:
        assert len(list(reader)) == 3
    assert asked <= 4


# --- open files ---


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.gif", "clip.webp", "clip.ts", "clip.avi"])
def test_open_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("webp"):
        write_webp(path)
    else:
        write_clip(path, range(4), **({"codec": "gif", "pix_fmt": "rgb8"} if name.endswith("gif") else {}))
    for file in (path.open("rb"), io.BytesIO(path.read_bytes())):
        file.seek(7)
        assert numbers(file) == [0, 1, 2, 3]
        assert not file.closed
        with open_video(file) as reader:
            assert reader.info.path.name in (name, "BytesIO") and not reader.info.is_images
            assert reader.info.frame_count == 4
        file.close()


def test_the_audio_of_an_open_file_is_copied(tmp_path: Path) -> None:
    content = io.BytesIO(write_clip(tmp_path / "clip.mkv", range(10), audio=("aac",), audio_seconds=0.4).read_bytes())
    with (
        open_video(content) as reader,
        VideoWriter(
            tmp_path / "out.mp4",
            width=WIDTH,
            height=HEIGHT,
            time_base=reader.info.time_base,
            frame_rate=reader.info.frame_rate,
            audio_from=reader.info.media,
            video_stream=reader.info.stream,
        ) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.pts)
            assert number_of(frame.image) == frame.index
    assert len(packets(tmp_path / "out.mp4", "audio")[0]) > 15


def test_a_file_object_that_fails(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "clip.mkv", range(40)).read_bytes()

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 8000:
                raise RuntimeError("the network is gone")
            return super().read(size)

    with pytest.raises((VideoError, DamagedVideoError, OSError)):
        numbers(Failing(content))


# --- kinds of files ---


def write_webp(path: Path, count: int = 4) -> Path:
    first, *others = [PIL.Image.fromarray(marked_image(number)) for number in range(count)]
    first.save(path, format="WEBP", save_all=True, append_images=others, duration=[40, 60, 80, 40], lossless=True)
    return path


def test_animated_webp(tmp_path: Path) -> None:
    path = write_webp(tmp_path / "clip.webp")
    with open_video(path) as reader:
        assert (reader.info.frame_count, reader.info.is_images, reader.info.path) == (4, False, path)
        frames = list(reader)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3]
    assert [frame.pts for frame in frames] == [0, 40, 100, 180]
    assert_colours(frames[2].image)
    assert numbers(path, start=1, stride=2) == [1, 3]
    assert "more than the limit of 100" in refused(path, max_pixels=100)
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in refused(path)
    PIL.Image.fromarray(marked_image(0)).save(tmp_path / "still.webp")
    assert "single image" in refused(tmp_path / "still.webp")


def test_animated_png(tmp_path: Path) -> None:
    first, *others = [PIL.Image.fromarray(marked_image(number)) for number in range(4)]
    first.save(tmp_path / "clip.png", save_all=True, append_images=others, duration=40)
    assert numbers(tmp_path / "clip.png") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("clip.mjpeg", "mjpeg", "mjpeg"),
        ("clip.mjpg", "mjpeg", "mjpeg"),
        ("clip.h264", "libx264", "h264"),
        ("clip.264", "libx264", "h264"),
        ("clip.m2v", "mpeg2video", "mpeg2video"),
        ("clip.hevc", "libx265", "hevc"),
    ],
)
def test_raw_streams(name: str, codec: str, kind: str, tmp_path: Path) -> None:
    options = {"pix_fmt": "yuvj420p", "full_range": True} if codec == "mjpeg" else {}
    path = write_clip(tmp_path / name, range(8), codec=codec, container=kind, **options)  # type: ignore[arg-type]
    with open_video(path) as reader:
        frames = list(reader)
    assert [number_of(frame.image) for frame in frames] == list(range(8))
    assert [frame.time_seconds - frames[0].time_seconds for frame in frames] == pytest.approx(
        [i / 25 for i in range(8)]
    )


# --- size ---


def test_frames_above_the_limit_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    content = b"GIF89a" + (16000).to_bytes(2, "little") * 2 + b"\x80\0\0\0\0\0\xff\xff\xff"
    image = b",\0\0\0\0" + (16000).to_bytes(2, "little") * 2 + b"\0\x02\x02L\x01\0"
    path = tmp_path / "huge.gif"
    path.write_bytes(content + image * 3 + b";")
    began = time.monotonic()
    assert "16000×16000 pixels, more than the limit of 67,108,864" in refused(path)
    assert "raise max_pixels" in refused(io.BytesIO(path.read_bytes()))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", {}),
        ("clip.ts", {}),
        ("clip.mkv", {"codec": "ffv1"}),
        ("png.mov", {"codec": "png", "pix_fmt": "rgb24", "tag": False}),
        ("jpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "full_range": True}),
        ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("raw.mjpeg", {"codec": "mjpeg", "container": "mjpeg", "pix_fmt": "yuvj420p", "full_range": True}),
        ("raw.h264", {"container": "h264"}),
    ],
)
def test_the_limit_can_be_changed(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, range(3), **options)
    assert f"{WIDTH}×{HEIGHT} pixels, more than the limit of 15,359" in refused(path, max_pixels=WIDTH * HEIGHT - 1)
    assert numbers(path, max_pixels=WIDTH * HEIGHT) == [0, 1, 2]


def test_images_above_the_limit(tmp_path: Path) -> None:
    save_images(tmp_path, ["1.png", "2.png"])
    assert "more than the limit of 100" in refused(tmp_path, max_pixels=100)


@pytest.mark.parametrize("size", [(400, 304), (640, 480)])
def test_a_size_above_the_limit_that_comes_later(size: tuple[int, int], tmp_path: Path) -> None:
    noise = {"options": {"bf": "0", "g": "1", "crf": "0"}}  # more bytes than FFmpeg looks at when it opens a file
    small = write_clip(tmp_path / "small.ts", [*range(6)] * 60, **noise).read_bytes()  # type: ignore[arg-type]
    large = write_clip(tmp_path / "large.ts", range(6), options={"bf": "0"}, size=size).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(small + large)
    with open_video(path, max_pixels=100_000) as reader, pytest.raises(DamagedVideoError, match=r"limit of 100,000"):
        frames = 0
        for frame in reader:
            assert number_of(frame.image) == frame.index % 6
            frames += 1
    assert frames == 360


def test_a_header_that_lies_about_the_size(tmp_path: Path) -> None:
    """The header of an AVI file says 160×96, its JPEG images are of 12000×8000."""
    path = write_clip(tmp_path / "clip.avi", range(3), codec="mjpeg", pix_fmt="yuvj420p", full_range=True)
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (12000, 8000)).save(buffer, "JPEG")
    with av.open(str(path)) as source, av.open(str(tmp_path / "lie.avi"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number in range(3):
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, stream.time_base
            packet.is_keyframe = True
            output.mux(packet)
    began = time.monotonic()
    with pytest.raises((VideoError, DamagedVideoError)):
        numbers(tmp_path / "lie.avi")
    assert time.monotonic() - began < 5


# --- playlists ---


def write_playlist(path: Path, *lines: str, end: bool = True) -> Path:
    path.write_text("\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:1", *lines, *(["#EXT-X-ENDLIST"] if end else [])]))
    return path


def write_segments(folder: Path) -> list[str]:
    for part in range(2):
        write_clip(folder / f"part {part}.ts", range(12 * part, 12 * part + 12), pts=range(12 * part, 12 * part + 12))
    return [line for part in range(2) for line in ("#EXTINF:0.48,", f"part%20{part}.ts")]


def test_a_playlist_of_files_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = write_segments(tmp_path)
    assert numbers(write_playlist(tmp_path / "clip.m3u8", *lines)) == list(range(24))
    assert not [message for message in caplog.messages if "end" in message.lower()]
    with open_video(tmp_path / "clip.m3u8") as reader:
        assert [path.name for path in reader.paths] == ["clip.m3u8", "part 0.ts", "part 1.ts"]
    live = write_playlist(tmp_path / "live.m3u8", *lines, end=False)
    assert numbers(live) == list(range(24))
    assert any("live.m3u8: has no end" in message for message in caplog.messages)
    master = write_playlist(
        tmp_path / "master.m3u8", "#EXT-X-STREAM-INF:BANDWIDTH=100", "none.m3u8", "#EXT-X-STREAM-INF:BANDWIDTH=900",
        "clip.m3u8",
    )  # fmt: skip
    assert numbers(master) == list(range(24))


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../clip.ts", "sub/clip.ts", "http://127.0.0.1:9/x.ts", "list.m3u8", "link.ts", "gone.ts", ""],
)
def test_a_playlist_opens_nothing_else(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    outside = write_clip(tmp_path / "clip.ts", range(3))
    (folder / "sub" / "clip.ts").write_bytes(outside.read_bytes())
    (folder / "link.ts").symlink_to(outside)
    began = time.monotonic()
    message = refused(write_playlist(folder / "list.m3u8", "#EXTINF:1,", name))
    assert "list.m3u8: names" in message and time.monotonic() - began < 2


def test_an_encrypted_playlist_is_refused(tmp_path: Path) -> None:
    lines = write_segments(tmp_path)
    message = refused(write_playlist(tmp_path / "clip.m3u8", '#EXT-X-KEY:METHOD=AES-128,URI="key"', *lines))
    assert "encrypted" in message


SCRIPTS = {
    "ffconcat version 1.0\nfile secret.mp4\n": "an ffconcat script",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n": "an HLS playlist",
    '<?xml version="1.0"?>\n<MPD type="static" xmlns="urn:mpeg:dash:schema:mpd:2011">'
    "<Period><BaseURL>secret.mp4</BaseURL></Period></MPD>": "a DASH manifest",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n": "an SDP",
    "[playlist]\nFile1=secret.mp4\n": "a playlist",
}


@pytest.mark.parametrize("suffix", ["mp4", "ts", "ffconcat", "mpd", "sdp", "mkv"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_no_video(script: str, suffix: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4", range(3))
    (tmp_path / f"script.{suffix}").write_text(script)
    assert f"is {SCRIPTS[script]}" in refused(tmp_path / f"script.{suffix}")


def test_reading_a_playlist_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while a playlist is read ends the process at once."""
    playlist = write_playlist(tmp_path / "clip.m3u8", *(write_segments(tmp_path) * 500))
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        f"from persam_video import open_video\nwith open_video({str(playlist)!r}) as video:\n"
        "    print('on', flush=True)\n    for frame in video: pass"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        began = time.monotonic()
        process.send_signal(2)
        assert process.wait(20) != 0
        assert time.monotonic() - began < 5


def test_no_interruption_of_a_playlist_is_lost(tmp_path: Path) -> None:
    """A KeyboardInterrupt at any moment of reading ends it, also one while PyAV calls back."""
    playlist = write_playlist(tmp_path / "clip.m3u8", *(write_segments(tmp_path) * 40))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for attempt in range(100):
            with pytest.raises(KeyboardInterrupt), open_video(playlist) as video:
                signal.setitimer(signal.ITIMER_REAL, 1e-3 + attempt * 2e-4)
                for _ in video:
                    pass
                time.sleep(1)  # it was read sooner
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
