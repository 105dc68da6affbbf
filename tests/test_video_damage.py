"""Damage in videos: passed over in formats made for transmission, told where the end of a file is missing."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from video_files import HEIGHT, WIDTH, number_of, packets, write_clip

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.frame import Frame
from persam_video.video.reader import open_video
from persam_video.video.writer import VideoWriter

PACKET = 188  # of a transport stream
X264 = {"bf": "2", "g": "6"}


def read(path: Path) -> list[Frame]:
    with open_video(path) as reader:
        return list(reader)


def read_damaged(path: Path) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    with open_video(path) as reader, pytest.raises(DamagedVideoError) as caught:
        for frame in reader:
            frames.append(frame)  # noqa: PERF402
    return frames, str(caught.value)


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def only_warning(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    return record.getMessage()


def assert_even(frames: list[Frame]) -> None:
    """Fails unless every frame comes a 25th of a second after the one before."""
    assert all(later.time_seconds - frame.time_seconds == pytest.approx(0.04) for frame, later in pairwise(frames))


@pytest.fixture(scope="module")
def transmission(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MPEG-TS of 24 frames."""
    path = write_clip(tmp_path_factory.mktemp("clips") / "clip.ts", range(24), options=X264)
    return path.read_bytes()


def test_a_lost_packet_is_passed_over(transmission: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packets_of_video = [
        start
        for start in range(0, len(transmission), PACKET)
        if int.from_bytes(transmission[start + 1 : start + 3], "big") & 0x1FFF == 0x100
    ]
    lost = packets_of_video[len(packets_of_video) // 2]
    path = tmp_path / "lost.ts"
    path.write_bytes(transmission[:lost] + transmission[lost + PACKET :])
    frames = read(path)
    assert len(frames) >= 23
    assert numbers(frames)[:6] == list(range(6)) and numbers(frames)[-6:] == list(range(18, 24))
    assert all(later.pts > frame.pts for frame, later in pairwise(frames))
    warning = only_warning(caplog)
    assert f"{path}: {len(frames)} frames were read; 1 packet was flagged as damaged" in warning
    assert "restart" not in warning and "cut short" not in warning


def test_packets_that_cannot_be_decoded_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "clip.flv", range(24), options={"bf": "0", "g": "4"})
    with av.open(str(path)) as container:
        bad = [packet for packet in container.demux(video=0) if packet.size][8]
    content = bytearray(path.read_bytes())
    content[bad.pos + 16 : bad.pos + bad.size] = b"\xff" * (bad.size - 16)  # behind the header of the tag
    path.write_bytes(content)
    frames = read(path)
    assert 20 <= len(frames) < 24 and numbers(frames)[-8:] == list(range(16, 24))
    assert "could not be decoded" in only_warning(caplog)


def test_times_that_restart_go_on(transmission: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(transmission * 3)
    frames = read(path)
    assert numbers(frames) == list(range(24)) * 3
    assert_even(frames)
    assert "the times restarted twice" in only_warning(caplog).replace("2 times", "twice")


@pytest.mark.parametrize("seconds", [-100_000, 50, 100_000])
def test_a_recording_of_another_time_goes_on(seconds: int, tmp_path: Path) -> None:
    """The clock of a transport stream overflows after 95,443 seconds: going back looks like that."""
    begin = max(0, -seconds)
    parts = [
        write_clip(
            tmp_path / f"{part}.ts", range(12), pts=[25 * start + i for i in range(12)], options=X264
        ).read_bytes()
        for part, start in enumerate((begin, begin + seconds))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    frames = read(path)
    assert numbers(frames) == [*range(12), *range(12)]
    assert_even(frames)


def test_a_restart_without_b_frames_and_of_another_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = write_clip(tmp_path / "small.mpg", range(5), codec="mpeg2video", container="mpegts")
    large = write_clip(tmp_path / "large.mpg", range(5), codec="mpeg2video", container="mpegts", size=(320, 192))
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read(path)
    assert {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    assert numbers(frames)[:4] == [*range(4)] and numbers(frames)[-5:] == [*range(5)]  # FFmpeg too may lose one between
    warning = only_warning(caplog)
    assert "5 frames of another size or rotation than the first were scaled" in warning and "restarted once" in warning


def test_the_overlay_of_a_joined_recording_keeps_its_audio(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = write_clip(tmp_path / "part.ts", range(25), audio=("aac",), audio_seconds=1.0).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    with open_video(path) as reader, _writer(tmp_path / "out.mkv", reader.info) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    ((*_, (last, _)),) = packets(tmp_path / "out.mkv", "audio")
    first = packets(tmp_path / "out.mkv", "video")[0][0][0]
    assert last - first == pytest.approx(2.0, abs=0.1)
    assert not [record for record in caplog.records if "audio" in record.getMessage()]


def _writer(path: Path, info: object) -> VideoWriter:
    return VideoWriter(
        path,
        width=info.width,
        height=info.height,
        time_base=info.time_base,
        frame_rate=info.frame_rate,
        audio_from=info.media,
        video_stream=info.stream,
    )


def test_a_transmission_that_is_cut_is_told_from_damage(
    transmission: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cut.ts"
    path.write_bytes(transmission[: len(transmission) * 2 // 3 // PACKET * PACKET + 100])
    frames, message = read_damaged(path)
    assert numbers(frames) == list(range(len(frames))) and 10 <= len(frames) <= 17
    assert "the file ends within it" in message
    assert caplog.messages == []


def test_a_whole_transmission_with_something_appended(transmission: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.ts"
    for appended in (b"", b"\0" * 100, b"end of file\n"):
        path.write_bytes(transmission + appended)
        assert numbers(read(path)) == list(range(24))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("clip.webm", {"codec": "libvpx"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("h264.mkv", {"options": X264}),
        ("ffv1.mkv", {"codec": "ffv1"}),
        ("sound.mkv", {"audio": ("aac",), "audio_seconds": 0.3}),
        ("clip.mp4", {"container_options": {"movflags": "faststart"}}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "2"}}),
        ("clip.avi", {"codec": "mpeg4"}),
    ],
)
def test_every_cut_is_told(name: str, options: dict[str, object], tmp_path: Path) -> None:
    """Wherever the last frames are cut, they are missed; where only data after them are, they are not."""
    path = write_clip(tmp_path / name, range(8), **options)  # type: ignore[arg-type]
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
    ends = [packet.pos + packet.size - (name == "clip.gif") for packet in found]  # the end mark is in its last packet
    assert numbers(read(path)) == list(range(8))
    for end in {ends[-1] - 1, ends[-1] - 9, (ends[-2] + ends[-1]) // 2, ends[-2] + 1, ends[-2] - 2, ends[4] + 3}:
        path.write_bytes(whole[:end])
        frames, message = read_damaged(path)
        assert numbers(frames) == list(range(len(frames))) and 1 <= len(frames) < 8
        assert "the file ends" in message
    if name not in ("clip.gif", "fragments.mp4"):
        path.write_bytes(whole[: ends[-1] + 40] if name != "sound.mkv" else whole[:-20])
        assert numbers(read(path)) == list(range(8))
    path.write_bytes(whole + b"something appended" * 50)
    assert numbers(read(path)) == list(range(8))


def test_a_gif_without_its_end_mark(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.gif", range(8), codec="gif", pix_fmt="rgb8")
    path.write_bytes(path.read_bytes()[:-1])
    frames, message = read_damaged(path)
    assert numbers(frames) == list(range(8)) and "the file ends too early" in message


def test_matroska_of_unknown_size(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "live.mkv", range(8), container_options={"live": "1"})
    assert numbers(read(path)) == list(range(8))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "webm", "avi"])
def test_audio_may_be_longer_than_the_video(suffix: str, tmp_path: Path) -> None:
    codec, tone = ("libvpx", "libopus") if suffix == "webm" else ("mpeg4", "ac3")
    path = write_clip(tmp_path / f"clip.{suffix}", range(8), codec=codec, audio=(tone,), audio_seconds=2.0)
    assert numbers(read(path)) == list(range(8))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.gif"])
def test_a_file_that_is_removed_while_it_is_read(name: str, tmp_path: Path) -> None:
    options = {"codec": "gif", "pix_fmt": "rgb8"} if name.endswith("gif") else {"codec": "mpeg4"}
    path = write_clip(tmp_path / name, range(40), **options)  # type: ignore[arg-type]
    with open_video(path) as reader:
        path.unlink()
        assert numbers(list(reader)) == list(range(40))


def test_a_damaged_end_is_read_again_from_the_removed_file(tmp_path: Path) -> None:
    """Decoding without threads needs the file once more."""
    path = write_clip(tmp_path / "clip.mp4", range(20), options={"bf": "2"})
    with av.open(str(path)) as container:
        bad = [packet for packet in container.demux(video=0) if packet.size][-1]
    content = bytearray(path.read_bytes())
    content[bad.pos : bad.pos + bad.size] = b"\xff" * bad.size
    path.write_bytes(content)
    with open_video(path) as reader, pytest.raises(DamagedVideoError, match="damaged at frame"):
        path.unlink()
        for _ in reader:
            pass


# --- times and tags ---


def test_a_clock_that_runs_since_long_begins_at_0_in_the_overlay(tmp_path: Path) -> None:
    late = 95_443 * 25
    path = write_clip(
        tmp_path / "late.mkv", range(12), pts=[late + i for i in range(12)], audio=("aac",), audio_seconds=0.5
    )
    with open_video(path) as reader, _writer(tmp_path / "out.mp4", reader.info) as writer:
        assert reader.info.frame_count == 12
        for frame in reader:
            writer.write(frame.image, frame.pts)
    ((*written,),) = packets(tmp_path / "out.mp4", "video")
    assert [time for time, _ in written] == [Fraction(i, 25) for i in range(12)]


@pytest.mark.parametrize("tag", ["Caf\udce9", "x" * 5000])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_tags_of_any_kind(suffix: str, tag: str, tmp_path: Path) -> None:
    path = tmp_path / f"tag.{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.metadata["title"] = "A title of many letters" if "\udce9" in tag else tag
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        output.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"A title of many letters", b"A title of many l\xe9tters"))
    assert len(read(path)) == 3


@pytest.mark.parametrize("duration", ["0000:000.320000000", "x", "99:99:99", "-1:00:00.0", "00:00:00.3200000000000000"])
def test_a_strange_duration_is_ignored(duration: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", range(8))
    content = path.read_bytes()
    wanted = b"00:00:00.320000000"
    assert wanted in content
    path.write_bytes(content.replace(wanted, duration.encode()[: len(wanted)].ljust(len(wanted), b"\0")))
    assert numbers(read(path)) == list(range(8))


def test_a_rotation_that_changes(transmission: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from persam_video.video import convert

    path = tmp_path / "clip.ts"
    path.write_bytes(transmission)
    turns = iter([convert._Turn(False, False, False)] * 3 + [convert._Turn(True, False, True)] * 100)
    monkeypatch.setattr(convert._Turn, "of", lambda _: next(turns))
    assert {frame.image.shape for frame in read(path)} == {(HEIGHT, WIDTH, 3)}


def test_nothing_but_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.ts"
    path.write_bytes((b"\x47" + bytes(PACKET - 1)) * 500)
    with pytest.raises(VideoError, match=r"noise\.ts: "):
        open_video(path)
