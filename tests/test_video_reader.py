"""Reads real files of many kinds: content, order, orientation, colours, times, and every way in which it can fail."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import torch
from av.codec.hwaccel import hwdevices_available
from av.video.reformatter import VideoReformatter
from video_files import HEIGHT, WIDTH, assert_colours, marked_image, number_of, write_clip

from persam_video.errors import DamagedVideoError, DeviceError, InputError, VideoError
from persam_video.frame import Frame
from persam_video.video.convert import RgbConverter
from persam_video.video.reader import open_video

SHARED = Path(__file__).resolve().parents[2] / "shared" / "videos"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is not beside the repository")


def read(source: str | Path, **options: object) -> list[Frame]:
    with open_video(source, **options) as reader:  # type: ignore[arg-type]
        return list(reader)


def numbers(source: str | Path, **options: object) -> list[int]:
    return [number_of(frame.image) for frame in read(source, **options)]


def read_damaged(path: Path) -> tuple[list[Frame], DamagedVideoError]:
    frames = []
    with open_video(path) as reader, pytest.raises(DamagedVideoError) as caught:
        for frame in reader:
            frames.append(frame)  # noqa: PERF402
    return frames, caught.value


KINDS = {
    "clip.mp4": {"options": {"bf": "3", "preset": "veryfast"}},  # B-frames
    "clip.mov": {"codec": "mpeg4"},
    "clip.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "clip.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "full_range": True},
    "ten_bits.mp4": {"pix_fmt": "yuv420p10le"},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "4"}},
    "odd.mkv": {"codec": "libvpx-vp9", "size": (WIDTH + 1, HEIGHT + 3)},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "bgr0", "tag": False},
    "alpha.mkv": {"codec": "ffv1", "pix_fmt": "yuva420p", "matrix": 6},
}


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    def decoded() -> int:
        return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())

    path = write_clip(tmp_path / "clip.mp4", range(24))
    gc.collect()
    before = decoded()
    gc.disable()
    try:
        assert len(read(path)) == 24
        assert decoded() <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file(name: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, **KINDS[name])
    width, height = KINDS[name].get("size", (WIDTH, HEIGHT))
    with open_video(path) as reader:
        frames = list(reader)
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert [(frame.index, frame.name) for frame in frames] == [(i, f"{i:05d}") for i in range(12)]
    for frame in frames:
        assert frame.image.shape == (height, width, 3)
        assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8
        assert_colours(frame.image, tolerance=14)
    info = reader.info
    assert (info.width, info.height, info.path, info.is_images) == (width, height, path, False)
    assert info.frame_rate == pytest.approx(25) and info.frame_count == 12
    seconds = [frame.time_seconds - frames[0].time_seconds for frame in frames]
    assert seconds == pytest.approx([i / 25 for i in range(12)], abs=0.0011)


def test_gif(tmp_path: Path) -> None:
    frames = read(write_clip(tmp_path / "clip.gif", codec="gif", pix_fmt="rgb8", size=(161, 97)))
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert frames[0].image.shape == (97, 161, 3)
    assert_colours(frames[5].image, tolerance=60)  # 3, 3 and 2 bits


def test_variable_frame_rate_keeps_the_true_times(tmp_path: Path) -> None:
    pts = [0, 3000, 3001, 9000, 20000, 90000]
    path = write_clip(tmp_path / "vfr.mp4", range(6), pts=pts, time_base=Fraction(1, 90000))
    frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(p, 90000) for p in pts]


def test_a_start_offset_is_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", range(4), pts=[500, 540, 580, 620], time_base=Fraction(1, 1000))
    assert [frame.pts for frame in read(path)] == [500, 540, 580, 620]
    assert numbers(path, start=0.04, end=0.12) == [1, 2]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_metadata(degrees: int, mirrored: bool, tmp_path: Path) -> None:
    upright = marked_image(5, HEIGHT, WIDTH) if degrees % 180 else marked_image(5)
    # The file is turned back by ``degrees`` counterclockwise, and then mirrored.
    stored = upright[:, ::-1] if mirrored else upright
    stored = np.rot90(stored, -degrees // 90)
    path = write_clip(tmp_path / "turned.mp4", images=[stored] * 3, rotation=degrees, mirrored=mirrored)
    with open_video(path) as reader:
        assert (reader.info.width, reader.info.height) == (upright.shape[1], upright.shape[0])
        image = next(iter(reader)).image
    assert image.shape == upright.shape and image.flags.c_contiguous
    assert_colours(image)
    assert number_of(image) == 5


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_tagged_colours(matrix: int, full_range: bool, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "tagged.mp4", [1], matrix=matrix, full_range=full_range)
    assert_colours(read(path)[0].image, tolerance=4)


@pytest.mark.parametrize(("size", "matrix"), [((320, 240), 6), ((960, 720), 1)])
def test_untagged_colours_depend_on_the_height(size: tuple[int, int], matrix: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "untagged.mp4", [1], size=size, matrix=matrix, tag=False)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.colorspace == 2  # unspecified
    assert_colours(read(path)[0].image, tolerance=4)


@pytest.mark.parametrize("codec", ["libx264", "ffv1", "libx265"])
@pytest.mark.parametrize("full_range", [False, True])
def test_grey(full_range: bool, codec: str, tmp_path: Path) -> None:
    image = marked_image(9)
    luma = np.rint(image @ [0.299, 0.587, 0.114])
    stored = luma if full_range else np.rint(luma * 219 / 255 + 16)
    stored = np.repeat(stored.astype(np.uint8)[..., None], 3, axis=2)
    path = write_clip(tmp_path / "grey.mkv", images=[stored] * 3, codec=codec, pix_fmt="gray", full_range=full_range)
    frame = read(path)[0]
    assert number_of(frame.image) == 9
    assert_colours(frame.image, tolerance=4, grey=True)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_interlaced_frames_are_deinterlaced(codec: str, tmp_path: Path) -> None:
    images = []
    for number in range(8):
        image = marked_image(number)
        image[: HEIGHT // 3, 54:106] = 0
        for field in (0, 1):  # a bar that moves by 3 pixels from field to field
            x = 55 + 3 * (2 * number + field)
            image[field : HEIGHT // 3 : 2, x : x + 4] = 255
        images.append(image)
    extra = {"x264-params": "tff=1"} if codec == "libx264" else {}
    path = write_clip(tmp_path / "fields.mkv", images=images, codec=codec, options={"flags": "+ildct+ilme", **extra})
    with av.open(str(path)) as container:
        stored = list(container.decode(video=0))
    assert all(frame.interlaced_frame for frame in stored)
    frames = read(path)
    assert [number_of(frame.image) for frame in frames] == list(range(8))
    assert [frame.pts for frame in frames] == [40 * i for i in range(8)]
    for frame, raw in list(zip(frames, stored, strict=True))[1:-1]:
        assert _combing(frame.image) < _combing(raw.to_ndarray(format="rgb24")) / 4
        assert_colours(frame.image)


def _combing(image: np.ndarray) -> float:
    rows = image[4:28, 54:106].astype(int)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) // 2).mean())


def test_size_change_part_way_is_scaled_to_the_first_size(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "small.mpg", range(5), codec="mpeg2video", container="mpegts")
    large = write_clip(tmp_path / "large.mpg", range(5), codec="mpeg2video", container="mpegts", size=(320, 192))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    images = [frame.image for frame in read(both)]
    assert {image.shape for image in images} == {(HEIGHT, WIDTH, 3)}
    assert number_of(images[-1]) == 4


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", range(50), options={"bf": "2", "g": "12"})


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        ({"start": 10, "end": 15}, range(10, 15)),
        ({"start": 10, "stride": 7}, range(10, 50, 7)),
        ({"start": 0.4, "end": 0.6}, range(10, 15)),
        ({"start": 0.41, "end": 0.61}, range(11, 16)),
        ({"start": 1.0, "stride": 3}, range(25, 50, 3)),
        ({"start": 2, "end": 0.2}, range(2, 5)),
        ({"end": 1000}, range(50)),
        ({"start": 49}, [49]),
        ({"end": 99.0, "stride": 100}, [0]),
    ],
)
def test_start_end_stride(clip: Path, span: dict[str, float], wanted: list[int]) -> None:
    with open_video(clip, **span) as reader:
        count = reader.info.frame_count
        frames = list(reader)
    assert [frame.index for frame in frames] == list(wanted)
    assert [number_of(frame.image) for frame in frames] == list(wanted)
    assert [frame.time_seconds for frame in frames] == pytest.approx([i / 25 for i in wanted])
    assert count == len(frames)
    assert reader.info.frame_rate == Fraction(25, span.get("stride", 1))


def test_the_rest_after_the_end_is_not_decoded(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(_with_bad_packet(clip, 30))
    assert numbers(broken, end=20) == list(range(20))


def test_iterates_once(clip: Path) -> None:
    with open_video(clip) as reader:
        assert len(list(reader)) == 50
        with pytest.raises(RuntimeError, match="once"):
            iter(reader)
    reader.close()


def test_a_name_with_a_colon_and_percent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "plain.mp4", range(3)).rename(tmp_path / "a: 50%d.mp4")
    monkeypatch.chdir(tmp_path)
    assert numbers("a: 50%d.mp4") == [0, 1, 2]


def test_limits_may_be_numbers_of_numpy(clip: Path) -> None:
    for start, end in ((np.int64(2), np.int32(4)), (np.float32(0.1), np.float64(0.2))):
        with open_video(clip, start=start, end=end) as reader:
            assert 0 < len(list(reader)) < 10


def test_memory_does_not_grow(clip: Path) -> None:
    """Each image is freed once the caller drops it."""
    import gc
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []
    with open_video(clip) as reader:
        for frame in reader:
            alive.append(weakref.ref(frame.image))
            assert frame.image.base is None  # it does not keep the decoder's buffer either
            del frame
            gc.collect(0)
            assert sum(reference() is not None for reference in alive) <= 2


# --- image files ---


def save_images(folder: Path, names: list[str], first: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, first):
        PIL.Image.fromarray(marked_image(number)).save(folder / name)
    return folder


def test_image_files_in_natural_order(tmp_path: Path) -> None:
    names = ["f1.png", "f2.PNG", "f10.bmp", "f11.webp", "f100.tif", "f101.tiff", "f200.ppm", "f201.jpg", "f202.JPEG"]
    folder = save_images(tmp_path / "frames", names)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("not an image either")
    with open_video(folder, image_frame_rate=30) as reader:
        frames = list(reader)
    assert [number_of(frame.image) for frame in frames] == list(range(9))
    assert [frame.name for frame in frames] == [name.split(".")[0] for name in names]
    assert [frame.pts for frame in frames] == list(range(9))
    assert frames[1].time_base == Fraction(1, 30)
    info = reader.info
    assert (info.path, info.width, info.height, info.frame_count) == (folder, WIDTH, HEIGHT, 9)
    assert (info.frame_rate, info.time_base, info.is_images) == (30, Fraction(1, 30), True)


def test_glob_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_images(tmp_path / "frames", ["1.png", "2.png", "10.png"])
    save_images(folder, ["1.jpg"], first=9)
    assert numbers(str(folder / "*.png")) == [0, 1, 2]
    monkeypatch.chdir(folder)
    assert numbers("../fra*/?.png") == [0, 1]
    with open_video("*.png") as reader:
        assert reader.info.path == Path()


def test_image_files_start_end_stride(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "frames", [f"{i}.png" for i in range(12)])
    with open_video(folder, start=2, end=11, stride=4) as reader:
        assert reader.info.frame_count == 3
        frames = list(reader)
    assert [(f.index, f.name, f.pts) for f in frames] == [(2, "2", 2), (6, "6", 6), (10, "10", 10)]
    assert numbers(folder, start=0.25, end=0.375) == [6, 7, 8]


def test_exif_orientation_and_modes(tmp_path: Path) -> None:
    turned = PIL.Image.fromarray(np.ascontiguousarray(np.rot90(marked_image(7))))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees counterclockwise
    turned.save(tmp_path / "1.png", exif=exif)
    PIL.Image.fromarray(marked_image(8)).convert("RGBA").save(tmp_path / "2.png")
    PIL.Image.fromarray(marked_image(9)).quantize(64).save(tmp_path / "3.png")
    frames = read(tmp_path)
    assert [number_of(frame.image) for frame in frames] == [7, 8, 9]
    for frame in frames:
        assert frame.image.flags.c_contiguous
        assert_colours(frame.image)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_is_scaled(suffix: str, tmp_path: Path) -> None:
    luma = np.rint(marked_image(3) @ [0.299, 0.587, 0.114]).astype(np.uint16)
    PIL.Image.fromarray(luma * 256).save(tmp_path / f"1.{suffix}")
    image = read(tmp_path)[0].image
    assert number_of(image) == 3
    assert_colours(image, tolerance=2, grey=True)


def test_image_files_that_do_not_fit_together(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    PIL.Image.fromarray(marked_image(1, 200, 100)).save(folder / "2.png")
    frames, error = read_damaged(folder)
    assert len(frames) == 1 and error.frame_index == 1
    assert "2.png" in str(error) and "200×100" in str(error)
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes()[:300])
    frames, error = read_damaged(folder)
    assert len(frames) == 1 and error.frame_index == 1 and "2.png" in str(error)
    with pytest.raises(VideoError, match=r"2\.png"):
        open_video(folder, start=1)
    (folder / "1.jpg").write_bytes(b"")
    with pytest.raises(VideoError, match=r"1\.jpg and 1\.png|1\.png and 1\.jpg"):
        open_video(folder)


# --- what cannot be read ---


def _refused(source: str | Path, **options: object) -> str:
    with pytest.raises(VideoError) as caught:
        open_video(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    assert isinstance(caught.value, InputError)
    return message


def test_refusals_name_the_file_and_the_fault(tmp_path: Path, clip: Path) -> None:
    assert "no such file" in _refused(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in _refused(tmp_path / "empty.mp4")
    for name in ("text.mp4", "text.txt", "text"):
        (tmp_path / name).write_text("This is not a video.\n" * 200)
        assert name in _refused(tmp_path / name)
    PIL.Image.fromarray(marked_image(1)).save(tmp_path / "mask.png")
    assert "single image" in _refused(tmp_path / "mask.png")
    (tmp_path / "mask.png").rename(tmp_path / "mask.mp4")
    assert "mask.mp4" in _refused(tmp_path / "mask.mp4")
    (tmp_path / "folder").mkdir()
    assert "no image file" in _refused(tmp_path / "folder")
    assert "no image file" in _refused(str(tmp_path / "folder" / "*.jpg"))
    cut = tmp_path / "cut.mp4"  # its index stood at the end
    cut.write_bytes(clip.read_bytes()[:3000])
    assert "truncated" in _refused(cut)


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mp3", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152 * 2), np.int16), "s16", "stereo")
        frame.sample_rate = 48000
        for part in av.AudioResampler(stream.format.name, "stereo", 48000, 1152).resample(frame):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    assert "has no video stream" in _refused(path)


@pytest.mark.parametrize(("suffix", "words"), [("mkv", "no frame"), ("avi", "no frame"), ("mp4", "no video stream")])
def test_a_video_without_frames(suffix: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / f"none.{suffix}"
    with av.open(str(path), "w") as output:
        output.add_stream("libx264", rate=25).width = 64
        output.start_encoding()
    assert words in _refused(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": -1}, "start=-1: it must be 0 or more"),
        ({"start": float("nan")}, "start=nan: it must be 0 or more"),
        ({"end": -0.5}, "end=-0.5: it must be 0 or more"),
        ({"end": 0}, "end=0: it leaves no frame"),
        ({"stride": 0}, "stride=0: it must be 1 or more"),
        ({"start": 5, "end": 5}, "start=5 and end=5: end must be above start"),
        ({"start": 2.0, "end": 1.0}, "end must be above start"),
        ({"start": 50}, "has only 50 frames .*; start must be below 50, not 50"),
        ({"start": 2.0}, "has only 50 frames"),
        ({"start": 0.41, "end": 0.43}, r"no frame lies between start=\S+ and end=\S+; move"),
        ({"start": 1.0, "end": 5}, r"no frame lies between start=\S+ and end=\S+; move"),
        ({"image_frame_rate": 0}, "image_frame_rate=0: it must be above 0"),
    ],
)
def test_impossible_spans(clip: Path, options: dict[str, float], words: str) -> None:
    with pytest.raises(VideoError, match=words):
        open_video(clip, **options)


# --- damage ---


def _with_bad_packet(path: Path, number: int) -> bytes:
    """The file's content with one packet, counted in the order of decoding, overwritten."""
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
    content = bytearray(path.read_bytes())
    content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    return bytes(content)


@pytest.mark.parametrize("bad", [4, 20, 37, 47, 48, 49])
def test_damage_part_way(clip: Path, tmp_path: Path, bad: int, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(_with_bad_packet(clip, bad))
    frames, error = read_damaged(path)
    assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
    assert bad - 3 <= len(frames) <= bad  # up to the decoder's own delay of two frames
    assert error.frame_index == len(frames)
    assert f"bad.mp4: damaged at frame {len(frames)} (Invalid data found" in str(error)
    assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")  # FFmpeg's own messages are not the user's


def test_damage_at_the_first_frame(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(_with_bad_packet(clip, 0))
    assert "damaged at frame 0" in _refused(path)
    path.write_bytes(_with_bad_packet(clip, 20))
    assert "; start must be below" in _refused(path, start=30)


FASTSTART = {"movflags": "faststart"}
CUT_KINDS = {
    "clip.mp4": {"container_options": FASTSTART, "options": {"bf": "0"}},
    "b_frames.mp4": {"container_options": FASTSTART, "options": {"bf": "2", "preset": "veryfast", "g": "8"}},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "4"}},
    "clip.mkv": {},
    "b_frames.mkv": {"options": {"bf": "2", "preset": "veryfast", "g": "8"}},
    "clip.webm": {"codec": "libvpx"},
    "clip.avi": {"codec": "mpeg4"},
}


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", CUT_KINDS)
def test_truncated_files(name: str, share: float, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, range(40), **CUT_KINDS[name])
    whole = path.read_bytes()
    assert len(read(path)) == 40
    path.write_bytes(whole[: int(len(whole) * share)])
    frames, error = read_damaged(path)
    assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
    assert 1 <= len(frames) < 40 and error.frame_index == len(frames)
    assert "the file ends" in str(error) and name in str(error)


@needs_shared
def test_shared_corrupted() -> None:
    frames, error = read_damaged(SHARED / "corrupted.mp4")
    assert len(frames) == 28 and error.frame_index == 28
    assert str(error) == (
        f"{SHARED / 'corrupted.mp4'}: damaged at frame 28 (Invalid data found when processing input); "
        "28 frames before it could be read"
    )


SHARED_COUNTS = {
    "av1_video.mkv": 125,
    "bt709_full_range.mp4": 30,
    "carphone_pristine.mp4": 120,
    "fire2.mp4": 25,
    "h264_10bits.mp4": 30,
    "h265_10bits.mp4": 30,
    "no_duration.webm": 74,
    "pigs_in_a_polka.gif": 30,
    "transparent.webm": 150,
    "unordered.mov": 4,
    "video_with_failing_audio.mp4": 280,
    "01_dog.mp4": 289,
}


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("name", SHARED_COUNTS)
def test_shared_files_are_read_completely(name: str) -> None:
    """None of these may be taken for damaged."""
    frames = 0
    last = -1.0
    with open_video(SHARED / name) as reader:
        for frame in reader:
            assert frame.time_seconds > last
            last, frames = frame.time_seconds, frames + 1
    assert frames == SHARED_COUNTS[name]
    assert reader.info.frame_count == (None if name == "no_duration.webm" else frames)


@needs_shared
def test_shared_rotations_are_upright() -> None:
    """In all of them the keys are darker than their letters, and lines of letters run across the image."""
    sizes = {}
    for name in ("video_0.mov", "video_90.mov", "video_270.mov"):
        with open_video(SHARED / name) as reader:
            sizes[name] = (reader.info.width, reader.info.height)
            upright = next(iter(reader)).image.astype(int)
        with av.open(str(SHARED / name)) as container:
            stored = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        turns = {"video_0.mov": 0, "video_90.mov": 3, "video_270.mov": 1}[name]  # counterclockwise, seen by eye
        assert np.abs(np.rot90(stored, turns) - upright).mean() < 2
    assert sizes == {"video_0.mov": (568, 320), "video_90.mov": (320, 568), "video_270.mov": (320, 568)}


@pytest.mark.parametrize("device", ["vaapi", "nonsense"])
def test_a_device_that_cannot_decode(device: str) -> None:
    clip = Path(__file__).parents[1] / "demo" / "clip.mp4"
    with pytest.raises(
        DeviceError, match=rf"^hwaccel='{device}': cannot decode \S+clip\.mp4 here; .*leave hwaccel out"
    ):
        open_video(clip, hwaccel=device)


@pytest.mark.skipif(not hwdevices_available(), reason="this FFmpeg supports no devices")
def test_a_codec_that_no_device_decodes(tmp_path: Path) -> None:
    kind = hwdevices_available()[0]
    path = write_clip(tmp_path / "clip.avi", codec="ffvhuff")
    with pytest.raises(DeviceError, match=rf"^hwaccel='{kind}': cannot decode \S+clip\.avi here"):
        open_video(path, hwaccel=kind)


@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize("colour_space", [1, 5])
def test_formats_of_hardware_decoders_give_the_same_pixels(colour_range: int, colour_space: int) -> None:
    frames = [av.VideoFrame(64, 48, "yuv420p")]
    for plane in frames[0].planes:
        plane.update(np.random.default_rng(0).integers(16, 235, plane.buffer_size, np.uint8).tobytes())
    frames.append(VideoReformatter().reformat(frames[0], format="nv12"))
    for frame in frames:
        frame.color_range, frame.colorspace = colour_range, colour_space
    assert [frame.format.name for frame in frames] == ["yuv420p", "nv12"]
    np.testing.assert_array_equal(*(RgbConverter().convert(frame) for frame in frames))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_frames_decoded_on_cuda_are_the_same_within_rounding() -> None:
    clip = Path(__file__).parents[1] / "demo" / "clip.mp4"
    with open_video(clip) as expected, open_video(clip, hwaccel="cuda") as got:
        for a, b in zip(expected, got, strict=True):
            assert np.abs(a.image.astype(int) - b.image.astype(int)).max() <= 2


# --- pixels that are not square ---


def _anamorphic(path: Path, aspect: Fraction, rotation: int | None = None) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(marked_image(number))))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pixel_aspect(suffix: str, tmp_path: Path) -> None:
    with open_video(_anamorphic(tmp_path / f"wide.{suffix}", Fraction(4, 3))) as reader:
        assert reader.info.pixel_aspect == Fraction(4, 3)
        assert (reader.info.width, reader.info.height) == (WIDTH, HEIGHT)
    with open_video(_anamorphic(tmp_path / f"absurd.{suffix}", Fraction(200))) as reader:
        assert reader.info.pixel_aspect == 1
    with open_video(write_clip(tmp_path / f"square.{suffix}", range(2))) as reader:
        assert reader.info.pixel_aspect == 1


@pytest.mark.parametrize(("degrees", "aspect"), [(90, Fraction(3, 4)), (180, Fraction(4, 3)), (270, Fraction(3, 4))])
def test_pixel_aspect_turns_with_the_frame(degrees: int, aspect: Fraction, tmp_path: Path) -> None:
    with open_video(_anamorphic(tmp_path / "turned.mp4", Fraction(4, 3), degrees)) as reader:
        assert reader.info.pixel_aspect == aspect
