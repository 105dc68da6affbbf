"""Writes videos and reads them back: pixels, timing, audio, and that no partial file is left behind."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import HEIGHT, WIDTH, assert_colours, marked_image, number_of, packets, write_clip

from persam_video.errors import DamagedVideoError, OutputError
from persam_video.video.reader import open_video
from persam_video.video.writer import VideoWriter

SHARED = Path(__file__).resolve().parents[2] / "shared" / "videos"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is not beside the repository")
MILLISECOND = Fraction(1, 1000)


def copy(source: Path, target: Path, **span: object) -> list[Fraction]:
    """Reads a video and writes its frames; returns their times in seconds."""
    times = []
    with open_video(source, **span) as reader:  # type: ignore[arg-type]
        info = reader.info
        with VideoWriter(
            target,
            width=info.width,
            height=info.height,
            time_base=info.time_base,
            frame_rate=info.frame_rate,
            audio_from=None if info.is_images else source,
        ) as writer:
            try:
                for frame in reader:
                    writer.write(frame.image, frame.pts)
                    times.append(frame.pts * info.time_base)
            except DamagedVideoError:
                pass
    assert [path.name for path in target.parent.iterdir() if path.suffix == ".part"] == []
    return times


def written_times(path: Path) -> list[Fraction]:
    (found,) = packets(path, "video")
    return [time for time, _ in found]


def writer_for(path: Path, **options: object) -> VideoWriter:
    settings = {"width": WIDTH, "height": HEIGHT, "time_base": Fraction(1, 25), "frame_rate": Fraction(25)} | options
    return VideoWriter(path, **settings)  # type: ignore[arg-type]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.messages == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames, 2 s, with 3 s of two audio streams."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_clip(path, range(50), audio=("aac", "ac3"), audio_seconds=3.0, options={"bf": "2"})


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "MP4"])
def test_pixels_and_tags(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{suffix}"
    with writer_for(path, time_base=Fraction(1, 1000)) as writer:
        for number in range(20):
            writer.write(marked_image(number), 40 * number)
        assert not path.exists()  # it gets its name when it is complete
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        assert stream.average_rate == 25
        assert container.duration == pytest.approx(800_000, abs=1000)  # the last frame lasts as long as the others
    with open_video(path) as reader:
        images = [frame.image for frame in reader]
    assert [number_of(image) for image in images] == list(range(20))
    assert_colours(images[3], tolerance=6)


def test_the_colours_match_the_tags_by_formula(tmp_path: Path) -> None:
    colour = (200, 60, 30)
    with writer_for(tmp_path / "out.mp4") as writer:
        writer.write(np.full((HEIGHT, WIDTH, 3), colour, np.uint8), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        planes = next(container.decode(video=0)).planes
        found = [memoryview(plane)[plane.line_size * 10 + 10] for plane in planes]
    r, g, b = (value / 255 for value in colour)
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    wanted = (16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748)
    assert np.abs(np.subtract(found, wanted)).max() < 2


def test_mp4_index_comes_first(tmp_path: Path) -> None:
    with writer_for(tmp_path / "out.mp4") as writer:
        writer.write(marked_image(1), 0)
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("size", [(161, 96), (160, 97), (161, 97), (1, 1)])
def test_odd_sizes_repeat_the_last_column_and_row(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    image = marked_image(5, width, height) if width > 1 else np.full((1, 1, 3), 200, np.uint8)
    with writer_for(tmp_path / "odd.mp4", width=width, height=height) as writer:
        writer.write(image, 0)
    with open_video(tmp_path / "odd.mp4") as reader:
        written = next(iter(reader)).image
    assert written.shape == (height + height % 2, width + width % 2, 3)
    difference = np.abs(written[:height, :width].astype(int) - image)
    assert np.median(difference) <= 4
    assert np.abs(written[-1].astype(int) - written[height - 1]).mean() < 6
    assert np.abs(written[:, -1].astype(int) - written[:, width - 1]).mean() < 6


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("name", "pts", "time_base"),
    [
        ("cfr.mp4", [1001 * i for i in range(12)], Fraction(1, 30000)),
        ("vfr.mp4", [0, 1, 4, 5, 6, 300, 301, 2000, 2001, 90000, 90001, 99999], Fraction(1, 90000)),
        ("late.mp4", [700 + 1001 * i for i in range(12)], Fraction(1, 30000)),
        ("late.mkv", [507 + 33 * i for i in range(12)], MILLISECOND),
    ],
)
def test_times_are_the_originals(
    name: str, pts: list[int], time_base: Fraction, suffix: str, tmp_path: Path, quiet: None
) -> None:
    exact = {"movie_timescale": "30000"} if name == "late.mp4" else None
    source = write_clip(tmp_path / name, pts=pts, time_base=time_base, audio=("aac",), container_options=exact)
    times = copy(source, tmp_path / f"out.{suffix}")
    assert times == [p * time_base for p in pts]
    written = written_times(tmp_path / f"out.{suffix}")
    if suffix != "mkv":
        assert written == times
    elif name != "vfr.mp4":  # frames that are less than a millisecond apart
        assert max(abs(a - b) for a, b in zip(written, times, strict=True)) <= MILLISECOND / 2
    (original,), (copied,) = packets(source, "audio"), packets(tmp_path / f"out.{suffix}", "audio")
    assert [content for _, content in copied] == [content for _, content in original]
    assert max(abs(a - b) for (a, _), (b, _) in zip(copied, original, strict=True)) <= (
        MILLISECOND if suffix == "mkv" else 0
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_all_audio_streams_are_copied_completely(clip: Path, suffix: str, tmp_path: Path, quiet: None) -> None:
    """Including packets after the last frame, and the codec's priming before the first."""
    copy(clip, tmp_path / f"out.{suffix}")
    originals, copies = packets(clip, "audio"), packets(tmp_path / f"out.{suffix}", "audio")
    assert len(copies) == 2
    for original, copied in zip(originals, copies, strict=True):
        assert [content for _, content in copied] == [content for _, content in original]
        late = max(abs(a - b) for (a, _), (b, _) in zip(copied, original, strict=True))
        assert late <= (MILLISECOND if suffix == "mkv" else 0)
    assert originals[0][-1][0] > 2.9


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("start", "end"), [(0, 20), (20, None), (15, 35), (0.8, 1.2)])
def test_audio_is_cut_and_moved_with_the_video(
    clip: Path, suffix: str, start: float, end: float | None, tmp_path: Path, quiet: None
) -> None:
    times = copy(clip, tmp_path / f"out.{suffix}", start=start, end=end)
    written = written_times(tmp_path / f"out.{suffix}")
    assert written == [time - times[0] for time in times]
    last = times[-1] + Fraction(1, 25)
    for original, copied in zip(packets(clip, "audio"), packets(tmp_path / f"out.{suffix}", "audio"), strict=True):
        wanted = [
            (time - times[0], content)
            for time, content in original
            if (start == 0 or time >= times[0]) and (end is None or time < last)
        ]
        assert [content for _, content in copied] == [content for _, content in wanted]
        assert max(abs(a - b) for (a, _), (b, _) in zip(copied, wanted, strict=True)) <= MILLISECOND


def test_stride_keeps_all_audio(clip: Path, tmp_path: Path, quiet: None) -> None:
    times = copy(clip, tmp_path / "out.mp4", stride=7)
    assert written_times(tmp_path / "out.mp4") == times == [Fraction(i, 25) for i in range(0, 50, 7)]
    for original, copied in zip(packets(clip, "audio"), packets(tmp_path / "out.mp4", "audio"), strict=True):
        assert len(copied) == len(original)


def test_audio_is_interleaved(clip: Path, tmp_path: Path) -> None:
    copy(clip, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [packet.dts * packet.time_base for packet in container.demux() if packet.size]
    assert max(earlier - later for earlier, later in pairwise(times)) < Fraction(1, 5)


def only_warning(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("persam_video.video.audio", "WARNING")
    return record.getMessage()


def test_audio_the_container_cannot_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_clip(tmp_path / "clip.mkv", audio=("flac",))
    copy(source, tmp_path / "out.mov")
    assert re.search(r"\.mov cannot hold flac audio.*\.mkv", only_warning(caplog))
    assert packets(tmp_path / "out.mov", "audio") == []
    assert len(written_times(tmp_path / "out.mov")) == 12


def test_audio_the_muxer_refuses_late(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Opus in .mov: the container lists it, its header then fails."""
    source = write_clip(tmp_path / "clip.mkv", audio=("libopus",))
    copy(source, tmp_path / "out.mov")
    assert re.search(r"\.mov cannot hold opus audio.*\.mkv", only_warning(caplog))
    assert len(written_times(tmp_path / "out.mov")) == 12


@pytest.mark.parametrize(
    "error",
    [av.error.InvalidDataError(1, "Invalid data found when processing input"), OSError(5, "Input/output error")],
)
def test_audio_that_breaks_off(
    error: Exception, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from persam_video.video.audio import AudioCopy

    def failing(self: AudioCopy, *_: object) -> Iterator[object]:
        yield from list(original(self))[:20]
        raise error

    def original(self: AudioCopy) -> Iterator[object]:
        assert self._container is not None
        return (packet for packet in self._container.demux(self._container.streams.audio[0]))

    begin = AudioCopy.begin

    def begin_failing(self: AudioCopy, start: Fraction, shift: Fraction) -> None:
        begin(self, start, shift)
        self._packets = failing(self)  # type: ignore[assignment]

    monkeypatch.setattr(AudioCopy, "begin", begin_failing)
    copy(clip, tmp_path / "out.mp4")
    assert "audio could not be copied completely" in only_warning(caplog)
    assert len(written_times(tmp_path / "out.mp4")) == 50
    assert len(packets(tmp_path / "out.mp4", "audio")[0]) == 20


def test_a_source_of_audio_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none.mp4: no audio can be copied from it \(No such file or directory\)"):
        writer_for(tmp_path / "out.mp4", audio_from=tmp_path / "none.mp4")
    assert list(tmp_path.iterdir()) == []


def test_image_files_have_no_audio_and_begin_at_0(tmp_path: Path) -> None:
    with writer_for(tmp_path / "out.mp4", time_base=Fraction(1, 24), frame_rate=Fraction(24)) as writer:
        for number in range(5, 15, 2):
            writer.write(marked_image(number), number)
    assert written_times(tmp_path / "out.mp4") == [Fraction(i, 24) for i in range(0, 10, 2)]


# --- refusals, and what is left behind ---


def test_refusals_leave_nothing(tmp_path: Path, clip: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a file")
    (tmp_path / "old.mp4").write_text("old")
    (tmp_path / "folder.mp4").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    for path, words in {
        tmp_path / "new" / "out.avi": r"must be one of \.mp4, \.mov, \.mkv, not '\.avi'",
        tmp_path / "out": "must be one of",
        tmp_path / "old.mp4": "exists already; give overwrite=True to replace it",
        tmp_path / "folder.mp4": r"\(it is a folder\)",
        file / "out.mp4": "is a file, not a folder",
        file / "deep" / "out.mp4": "is a file, not a folder",
    }.items():
        with pytest.raises(OutputError, match=words) as caught:
            writer_for(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="is the video that is read"):
        writer_for(clip, audio_from=clip, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "old.mp4").read_text() == "old"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)  # mode bits do not stop the superuser
    with pytest.raises(OutputError, match="Permission denied"):
        writer_for(tmp_path / "new" / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with pytest.raises(KeyError), writer_for(path, overwrite=True) as writer:
        writer.write(marked_image(1), 0)
        raise KeyError
    assert path.read_text() == "old"
    with writer_for(path, overwrite=True) as writer:
        writer.write(marked_image(1), 0)
    assert len(written_times(path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_discard_removes_the_file_and_created_folders(tmp_path: Path) -> None:
    writer = writer_for(tmp_path / "a" / "b" / "out.mp4")
    assert (tmp_path / "a" / "b").is_dir()
    for number in range(60):
        writer.write(marked_image(number), number)
    writer.discard()
    writer.discard()
    writer.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(marked_image(1), 99)


def test_discard_keeps_folders_with_other_files(tmp_path: Path) -> None:
    writer = writer_for(tmp_path / "a" / "out.mp4")
    (tmp_path / "a" / "other.txt").write_text("keep")
    writer.discard()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other.txt"]


def test_discard_after_close_keeps_the_file(tmp_path: Path) -> None:
    writer = writer_for(tmp_path / "a" / "out.mkv")
    writer.write(marked_image(1), 0)
    writer.close()
    writer.close()
    writer.discard()
    assert len(written_times(tmp_path / "a" / "out.mkv")) == 1


def test_close_without_frames_leaves_no_file(tmp_path: Path, clip: Path) -> None:
    writer_for(tmp_path / "a" / "out.mp4", audio_from=clip).close()
    assert list(tmp_path.iterdir()) == []


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    with writer_for(tmp_path / "out.mp4") as writer:
        writer.write(marked_image(1), 5)
        for image, pts in (
            (marked_image(1), 5),
            (marked_image(1, 100, 50), 6),
            (marked_image(1).astype(np.float32), 6),
            (marked_image(1)[..., :1], 6),
        ):
            with pytest.raises(ValueError, match=r"out\.mp4"):
                writer.write(image, pts)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_full_disk(suffix: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    random = np.random.default_rng(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(OutputError, match="cannot be written"), writer_for(tmp_path / f"out.{suffix}") as writer:
            for number in range(60):
                writer.write(random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), number)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("name", ["fire2.mp4", "no_duration.webm", "video_with_failing_audio.mp4", "unordered.mov"])
def test_shared_files_keep_times_and_audio(name: str, tmp_path: Path, quiet: None) -> None:
    times = copy(SHARED / name, tmp_path / "out.mp4")
    assert written_times(tmp_path / "out.mp4") == times
    assert packets(tmp_path / "out.mp4", "audio") == packets(SHARED / name, "audio")


@needs_shared
def test_shared_corrupted_gives_what_could_be_read(tmp_path: Path) -> None:
    assert len(copy(SHARED / "corrupted.mp4", tmp_path / "out.mp4")) == 28
    assert len(written_times(tmp_path / "out.mp4")) == 28
