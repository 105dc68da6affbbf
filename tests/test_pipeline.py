"""From a file to results: `track`, memory over a long clip, and errors that come through."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import torch
from colour_sam import BLUE, GREEN, RED, ColourSam, Square, draw

from persam_video import DamagedVideoError, Sam, Tracker, track
from persam_video.errors import OutputError, VideoError
from persam_video.files.palette_png import read_palette_png, write_palette_png
from persam_video.frame import Frame
from persam_video.outputs.base import OutputThreads, open_outputs
from persam_video.outputs.masks import MaskOutput
from persam_video.outputs.overlay import OverlayOutput
from persam_video.runtime.threads import ThreadPlan
from persam_video.tracking.pipeline import PlannedFrame, synchronized
from persam_video.video.reader import open_video
from persam_video.video.writer import VideoWriter

pytestmark = pytest.mark.slow

SQUARES = [
    Square(1, RED, left=8, top=16, absent=range(5, 9)),
    Square(2, GREEN, left=20, top=80),
    Square(5, BLUE, left=60, top=16, absent=range(7, 11)),
]


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Sixteen frames of three squares; ``ann.png`` beside it."""
    return write_clip(tmp_path / "clip.mp4", 16)


def write_clip(path: Path, frames: int, still: bool = False) -> Path:
    squares = [Square(s.object_id, s.colour, s.left, s.top, s.absent, step=0 if still else 2) for s in SQUARES]
    with VideoWriter(path, width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)) as writer:
        for index in range(frames):
            writer.write(draw(squares, index)[0], index)
    write_palette_png(path.with_name("ann.png"), draw(squares, 0)[1])
    return path


def test_all_that_was_encoded_is_waited_for(colours: Sam) -> None:
    image, _ = draw(SQUARES, 0)
    frame = PlannedFrame(Frame(index=0, image=image, name="0"), cast(Any, None), None, None)
    encoded = (frame, colours.encode(image))
    waited: list[Any] = []
    assert list(synchronized(each for each in [(encoded, lambda *tensors: waited.extend(tensors))])) == [encoded]
    _, features = encoded
    assert [id(each) for each in waited] == [id(features.tensor), id(features.pixels)]


class TestTrack:
    def test_results_of_a_file(self, clip: Path, colours: Sam) -> None:
        results = list(track(clip, clip.with_name("ann.png"), sam=colours))
        assert [r.index for r in results] == list(range(16))
        for result in results:
            truth = draw(SQUARES, result.index)[1]
            for square in SQUARES:
                i = square.object_id
                assert result.visible[i] is (result.index not in square.absent)
                if result.visible[i]:
                    mask, wanted = result.mask(i), truth == i
                    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.8

    def test_start_end_and_stride(self, clip: Path, colours: Sam) -> None:
        mask = draw(SQUARES, 2)[1]
        results = list(track(clip, mask, sam=colours, start=2, end=9, stride=3))
        assert [r.index for r in results] == [2, 5, 8]
        assert [r.frame.name for r in results] == ["00002", "00005", "00008"]
        assert np.array_equal(results[0].label_map, mask)

    def test_pictures_keep_their_names(self, tmp_path: Path, colours: Sam) -> None:
        from PIL import Image

        for name, index in (("frame9.png", 0), ("frame10.png", 1)):
            Image.fromarray(draw(SQUARES, index)[0]).save(tmp_path / name)
        results = list(track(tmp_path, draw(SQUARES, 0)[1], sam=colours))
        assert [r.frame.name for r in results] == ["frame9", "frame10"]

    def test_what_is_wrong_is_said_before_the_first_frame(self, tmp_path: Path, colours: Sam) -> None:
        with pytest.raises(VideoError, match=r"nothing\.mp4: no such file"):
            track(tmp_path / "nothing.mp4", np.ones((4, 4), np.uint8), sam=colours)

    @pytest.mark.parametrize("batch", [1, 3])
    def test_a_damaged_video_gives_what_was_readable(self, batch: int) -> None:
        colours = cast(Sam, ColourSam(batch))
        path = Path(__file__).parents[2] / "shared" / "videos" / "corrupted.mp4"
        if not path.is_file():
            pytest.skip(f"needs {path.name}, which is not beside the checkout")
        with open_video(path) as reader:
            mask = np.zeros((reader.info.height, reader.info.width), np.uint8)
        mask[50:100, 50:100] = 1
        indices = []
        with pytest.raises(DamagedVideoError) as error:
            for result in track(path, mask, sam=colours):
                indices.append(result.index)  # noqa: PERF401
        assert indices == list(range(28))
        assert error.value.frame_index == 28

    def test_leaving_early_closes_the_video(self, clip: Path, colours: Sam) -> None:
        results = track(clip, clip.with_name("ann.png"), sam=colours)
        with closing(cast("Iterator", results)):
            next(results)
        opened = psutil.Process().open_files()
        assert not [f for f in opened if f.path.endswith("clip.mp4")]


@pytest.fixture(params=["in turn", "on a few cores", "as on a GPU"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How frames are encoded."""
    yield from _go(request.param, monkeypatch)


@pytest.fixture(params=["on a few cores", "as on a GPU"])
def way_ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How frames are encoded while others are tracked."""
    yield from _go(request.param, monkeypatch)


def plan_of_a_gpu(objects: int, device: torch.device, *, large_frames: bool = False) -> ThreadPlan:
    """How threads are shared where the model runs on a GPU."""
    return ThreadPlan(objects, torch.device("cuda"))


def _go(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if way == "in turn" else 2)
    with monkeypatch.context() as patch:
        if way == "as on a GPU":
            patch.setattr("persam_video.tracking.pipeline.ThreadPlan", plan_of_a_gpu)
        yield way
    torch.set_num_threads(before)


class TestEncodingAhead:
    """On a GPU, and on a few cores, the next frames are encoded while this one is tracked."""

    def test_the_results_are_the_same(self, clip: Path, colours: Sam, way: str) -> None:
        label_maps = [result.label_map for result in track(clip, clip.with_name("ann.png"), sam=colours)]
        tracker = Tracker(colours)
        with open_video(clip) as reader:
            for frame, label_map in zip(reader, label_maps, strict=True):
                first = None if frame.index else read_palette_png(clip.with_name("ann.png"))
                result = tracker.step(frame, label_map=first)
                assert (result.label_map != label_map).sum() <= 8  # sums may be added up in another order

    def test_only_a_few_frames(self, clip: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch, way_ahead: str) -> None:
        encoded = []
        encode = colours.encode_one
        monkeypatch.setattr(colours, "encode_one", lambda *image: encoded.append(1) or encode(*image))
        with closing(cast("Iterator", track(clip, clip.with_name("ann.png"), sam=colours))) as results:
            next(results)
            time.sleep(0.5)
            # Given out, on a GPU two that are begun, waiting, in hand, and the mirrored first frame.
            assert 3 <= len(encoded) <= 1 + 2 + 2 + 1 + 1

    def test_leaving_early_ends_all_threads_and_closes_the_video(
        self, clip: Path, colours: Sam, way_ahead: str
    ) -> None:
        before = threading.active_count()
        results = track(clip, clip.with_name("ann.png"), sam=colours)
        next(results)
        cast(Any, results).close()
        assert threading.active_count() == before
        assert torch.get_num_threads() == 2
        assert not [f for f in psutil.Process().open_files() if f.path.endswith("clip.mp4")]

    def test_an_error_of_the_encoder_comes_through(
        self, clip: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch, way_ahead: str
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(colours, "encode_one", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            list(track(clip, clip.with_name("ann.png"), sam=colours))

    def test_on_a_few_cores_each_has_a_frame(self, clip: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
        threads: dict[str, set[int]] = {}
        encode = colours.encode_one

        def note(*image: Any) -> Any:
            threads.setdefault(threading.current_thread().name, set()).add(torch.get_num_threads())
            time.sleep(0.05)
            return encode(*image)

        monkeypatch.setattr(colours, "encode_one", note)
        for _ in _go("on a few cores", monkeypatch):
            list(track(clip, clip.with_name("ann.png"), sam=colours))
        # That of the caller encodes the mirrored first frame, for which the others wait.
        assert threads.pop(threading.current_thread().name) == {2}
        assert list(threads.values()) == [{1}, {1}]


class TestBatches:
    """Of frames that are encoded at once."""

    def test_the_results_are_the_same(self, clip: Path, colours: Sam, way: str) -> None:
        alone = [result.label_map for result in track(clip, clip.with_name("ann.png"), sam=colours)]
        several = ColourSam(batch=6)  # and four frames that are left
        together = [result.label_map for result in track(clip, clip.with_name("ann.png"), sam=cast(Sam, several))]
        np.testing.assert_array_equal(together, alone)
        assert sorted(several.encode_batches) == [1, 1, 1, 1, 6, 6]

    def test_only_a_few_frames_ahead(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("persam_video.tracking.pipeline.ThreadPlan", plan_of_a_gpu)
        several = ColourSam(batch=3)
        with closing(cast("Iterator", track(clip, clip.with_name("ann.png"), sam=cast(Sam, several)))) as results:
            next(results)
            time.sleep(0.5)
            assert several.encode_batches == [3, 3, 3]  # one given out, two begun, three waiting, and the rest in hand


class TestMemory:
    def test_it_is_flat_over_a_long_clip(self, tmp_path: Path, colours: Sam) -> None:
        """Reading, tracking and writing both outputs: 500 frames of 148 kB each."""
        path = write_clip(tmp_path / "long.mp4", 500, still=True)
        process = psutil.Process(os.getpid())
        resident = {}
        outputs = [MaskOutput(tmp_path / "masks"), OverlayOutput(tmp_path / "overlay.mp4")]
        for result in track(path, tmp_path / "ann.png", outputs=outputs, sam=colours):
            if result.index in (100, 400):
                gc.collect()
                resident[result.index] = process.memory_info().rss
        growth = resident[400] - resident[100]  # both right after what is free was given back
        assert growth < 10e6, f"{growth / 1e6:.1f} MB more after 300 frames"
        assert len(list((tmp_path / "masks").iterdir())) == 500


class TestOutputs:
    def test_an_output_that_fails_is_removed_and_the_other_kept(
        self, clip: Path, tmp_path: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OutputError("overlay.mp4: cannot be written (No space left on device)")

        outputs = [MaskOutput(tmp_path / "masks"), OverlayOutput(tmp_path / "overlay.mp4")]
        with open_video(clip) as reader:
            open_outputs(outputs, reader.info, overwrite=False)
        monkeypatch.setattr(outputs[1]._writer, "write", full)
        with pytest.raises(OutputError, match="No space left"), OutputThreads(outputs) as threads:
            for result in track(clip, clip.with_name("ann.png"), sam=colours):
                threads.put(result)
        assert not (tmp_path / "overlay.mp4").exists()
        masks = sorted((tmp_path / "masks").iterdir())
        assert masks
        assert all(read_palette_png(mask).shape == (144, 256) for mask in masks)
        assert not [p for p in tmp_path.iterdir() if "partial" in p.name]

    def test_what_cannot_be_drawn_is_removed_too(
        self, clip: Path, tmp_path: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn = []

        def broken(image: np.ndarray, *_: object, **__: object) -> np.ndarray:
            drawn.append(1)
            if len(drawn) == 4:
                raise OutputError("overlay.mp4: cannot be drawn")
            return image

        monkeypatch.setattr("persam_video.outputs.overlay.draw_overlay", broken)
        outputs = [OverlayOutput(tmp_path / "overlay.mp4")]
        with open_video(clip) as reader:
            open_outputs(outputs, reader.info, overwrite=False)
        with pytest.raises(OutputError, match="cannot be drawn"), OutputThreads(outputs) as threads:
            for result in track(clip, clip.with_name("ann.png"), sam=colours):
                threads.put(result)
        assert not [p for p in tmp_path.iterdir() if "overlay" in p.name]
        assert not threads._threads[0]._writer._thread.is_alive()

    def test_interrupted_outputs_are_whole(self, clip: Path, tmp_path: Path, colours: Sam) -> None:
        outputs = [MaskOutput(tmp_path / "masks"), OverlayOutput(tmp_path / "overlay.mp4")]
        with open_video(clip) as reader:
            open_outputs(outputs, reader.info, overwrite=False)
        with pytest.raises(KeyboardInterrupt), OutputThreads(outputs) as threads:
            for result in track(clip, clip.with_name("ann.png"), sam=colours):
                threads.put(result)
                if result.index == 6:
                    raise KeyboardInterrupt
        assert len(list((tmp_path / "masks").iterdir())) == 7
        with open_video(tmp_path / "overlay.mp4") as overlay:
            assert len(list(overlay)) == 7
