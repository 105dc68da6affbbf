"""Runs: everything that a command can do, from Python; what is left behind when they end early or cannot begin."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import PIL.Image
import psutil
import pytest
from colour_sam import BLUE, GREEN, RED, ColourSam, Square, draw

import persam_video
from persam_video import (
    InputError,
    MaskOutput,
    ModelOptions,
    OutputError,
    OverlayOutput,
    Sam,
    VideoError,
    VideoInfo,
    VideoWriter,
    load_targets,
    open_run,
    open_video,
    read_palette_png,
    track,
    write_palette_png,
)
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.registry import _METHODS
from persam_video.sam.window import Window

FRAMES = 12
SQUARES = [Square(1, RED, left=8, top=16), Square(2, GREEN, left=20, top=80)]
LATE = Square(3, BLUE, left=100, top=16, absent=range(5))


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with ``clip.mp4`` of 12 frames and ``ann.png``."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter(
        tmp_path / "clip.mp4", width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)
    ) as writer:
        for index in range(FRAMES):
            writer.write(draw([*SQUARES, LATE], index)[0], index)
    write_palette_png("ann.png", draw(SQUARES, 0)[1])
    return tmp_path


def is_open(path: Path) -> bool:
    return any(Path(each.path) == path for each in psutil.Process().open_files())


class TestRun:
    def test_it_tells_of_the_video_and_its_objects(self, here: Path, colours: Sam) -> None:
        with open_run("clip.mp4", "ann.png", sam=colours) as run:
            assert (run.info.width, run.info.height, run.info.frame_count) == (256, 144, FRAMES)
            np.testing.assert_array_equal(run.first_label_map, draw(SQUARES, 0)[1])
            assert run.object_ids == ()
            results = list(run)
            assert run.object_ids == (1, 2)
        assert [each.index for each in results] == list(range(FRAMES))
        assert run.seconds.read > 0
        assert run.seconds.encode > 0
        assert run.seconds.track > 0

    def test_it_is_the_iterator_of_track(self, here: Path, colours: Sam) -> None:
        with open_run("clip.mp4", "ann.png", sam=colours) as run:
            for one, other in zip(run, track("clip.mp4", "ann.png", sam=colours), strict=True):
                np.testing.assert_array_equal(one.label_map, other.label_map)

    def test_outputs_are_written_by_the_run(self, here: Path, colours: Sam) -> None:
        outputs = [MaskOutput("out/masks"), OverlayOutput("out/overlay.mp4")]
        with open_run("clip.mp4", "ann.png", outputs=outputs, sam=colours) as run:
            results = list(run)
        assert run.seconds.write > 0
        for result in results:
            np.testing.assert_array_equal(read_palette_png(f"out/masks/{result.frame.name}.png"), result.label_map)
        with open_video("out/overlay.mp4") as overlay:
            assert len(list(overlay)) == FRAMES

    def test_an_opened_reader_is_taken_and_closed(self, here: Path, colours: Sam) -> None:
        reader = open_video("clip.mp4", start=3, end=6)
        with open_run(reader, draw(SQUARES, 3)[1], sam=colours) as run:
            assert [result.index for result in run] == [3, 4, 5]
        assert not is_open(here / "clip.mp4")
        with (
            open_video("clip.mp4") as reader,
            pytest.raises(InputError, match="are those that it was opened with"),
        ):
            open_run(reader, "ann.png", start=2, sam=colours)


class TestEndingEarly:
    def test_a_run_that_was_never_iterated_leaves_nothing(self, here: Path, colours: Sam) -> None:
        outputs = [MaskOutput("out/masks"), OverlayOutput("out/overlay.mp4")]
        before = sorted(here.rglob("*"))
        with open_run("clip.mp4", "ann.png", outputs=outputs, sam=colours):
            assert is_open(here / "clip.mp4")
        assert not is_open(here / "clip.mp4")
        assert sorted(here.rglob("*")) == before

    def test_outputs_are_finished_with_the_frames_that_they_have(self, here: Path, colours: Sam) -> None:
        with open_run("clip.mp4", "ann.png", outputs=[OverlayOutput("o.mp4")], sam=colours) as run:
            for result in run:
                if result.index == 4:
                    break
        assert not is_open(here / "clip.mp4")
        with open_video("o.mp4") as overlay:
            assert len(list(overlay)) == 5
        assert list(run) == []

    def test_results_that_are_dropped_close_the_video(self, here: Path, colours: Sam) -> None:
        results = track("clip.mp4", "ann.png", sam=colours)
        next(results)
        assert is_open(here / "clip.mp4")
        del results
        assert not is_open(here / "clip.mp4")

    def test_an_output_that_cannot_be_finished_is_an_error_of_closing(
        self, here: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: object) -> None:
            raise OutputError("o.mp4: cannot be written (No space left on device)")

        monkeypatch.setattr(OverlayOutput, "close", full)
        with (
            pytest.raises(OutputError, match="No space left"),
            open_run("clip.mp4", "ann.png", outputs=[OverlayOutput("o.mp4")], sam=colours) as run,
        ):
            next(run)
        assert len(run.output_errors) == 1
        run.close()  # reported once
        assert not (here / "o.mp4").exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            {"first_mask": "none.png"},
            {"targets": "ann.png"},
            {"first_mask": "ann.png", "save_targets": "ann.png"},
            {"first_mask": "ann.png", "later_masks": {3: "none.png"}},
        ],
    )
    def test_what_cannot_begin_leaves_no_file_open_and_nothing_behind(
        self, here: Path, colours: Sam, arguments: dict[str, Any]
    ) -> None:
        before = sorted(here.rglob("*"))
        with pytest.raises(InputError):
            open_run("clip.mp4", outputs=[MaskOutput("out/masks")], sam=colours, **arguments)
        assert not is_open(here / "clip.mp4")
        assert sorted(here.rglob("*")) == before


class TestArguments:
    def test_later_masks_may_be_label_maps(self, here: Path, colours: Sam) -> None:
        late = np.where(draw([LATE], 5)[1] == 3, 3, 0)
        for later in ({5: late}, [(5, late)]):
            last = list(track("clip.mp4", "ann.png", later_masks=later, sam=colours))[-1]
            assert last.object_ids == (1, 2, 3)
            assert last.visible[3]

    def test_masks_of_frames_that_are_not_reached_are_reported(
        self, here: Path, colours: Sam, caplog: pytest.LogCaptureFixture
    ) -> None:
        later = {50: draw(SQUARES, 0)[1], 3: draw(SQUARES, 3)[1], 4: draw(SQUARES, 4)[1]}
        with open_run("clip.mp4", "ann.png", later_masks=later, stride=3, sam=colours) as run:
            assert run.unreached_masks == (3, 4, 50)
            list(run)
            assert run.unreached_masks == (4, 50)
        assert "the masks of frames that were not reached had no effect: 4, 50" in caplog.text

    def test_every_model_option_reaches_the_model(
        self, here: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded: list[Any] = []
        monkeypatch.setattr(
            "persam_video.sam.models.load_sam", lambda options, **_: (loaded.append(options), colours)[1]
        )
        options = {
            "checkpoint": "weights.pt",
            "device": "cpu",
            "precision": "bf16",
            "size": 512,
            "exact_padding": True,
            "compile": True,
            "graphs": False,
            "batch": 3,
        }
        for model in ({"model": "vit_b", **options}, {"model": ModelOptions("vit_b", **options)}):
            open_run("clip.mp4", "ann.png", **cast(Any, model)).close()
        assert loaded == [ModelOptions("vit_b", **options)] * 2

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"sizes": 512}, TypeError, "sizes"),
            ({"size": 600}, InputError, "size=600: the sizes are 512, 768, 1024"),
            ({"batch": 0}, InputError, "batch=0: it must be 1 or more"),
            ({"method": "xmem"}, InputError, "unknown method 'xmem'"),
            ({"outputs": MaskOutput("z")}, InputError, "outputs is of the type MaskOutput; give a list"),
            ({"sam": "vit_t"}, InputError, "sam is of the type str; give a model, from load_sam"),
            ({"outputs": ["z"]}, InputError, "outputs holds z; give outputs, such as"),
            ({"start": "1:30"}, InputError, "start='1:30': it must be an int, a frame, or a float, seconds"),
            ({"stride": 1.5}, InputError, "stride=1.5: it must be a whole number from 1"),
            ({"first_prompts": {"1": {}}}, InputError, "first_prompts is of the type dict; give a list"),
        ],
    )
    def test_invalid_options(self, here: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            open_run("clip.mp4", "ann.png", **arguments)

    def test_a_loaded_model_and_model_options_exclude_one_another(self, here: Path, colours: Sam) -> None:
        with pytest.raises(InputError, match="give either it or model options"):
            open_run("clip.mp4", "ann.png", sam=colours, size=512)

    def test_saved_targets_are_replaced_only_when_asked(self, here: Path, colours: Sam) -> None:
        list(track("clip.mp4", "ann.png", save_targets="toys.safetensors", sam=colours))
        written = (here / "toys.safetensors").read_bytes()
        only = np.where(draw(SQUARES, 0)[1] == 2, 2, 0)
        with pytest.raises(OutputError, match=r"toys\.safetensors exists already; give overwrite=True to replace it"):
            track("clip.mp4", only, save_targets="toys.safetensors", sam=colours)
        assert (here / "toys.safetensors").read_bytes() == written
        list(track("clip.mp4", only, save_targets="toys.safetensors", overwrite=True, sam=colours))
        assert load_targets("toys.safetensors", colours).object_ids == (2,)

    def test_targets_may_be_loaded_already_and_have_their_own_method(self, here: Path, colours: Sam) -> None:
        list(track("clip.mp4", "ann.png", method="persam-f", save_targets="t.safetensors", sam=colours))
        targets = load_targets("t.safetensors", colours)
        for each in (targets, "t.safetensors"):
            assert next(track("clip.mp4", targets=each, sam=colours)).object_ids == (1, 2)
        with pytest.raises(InputError, match="the targets are of the method persam-f"):
            open_run("clip.mp4", targets=targets, method="appearance", sam=colours)

    def test_messages_name_parameters(self, here: Path, colours: Sam) -> None:
        with pytest.raises(VideoError, match=r"start must be below 12, not 80"):
            open_run("clip.mp4", "ann.png", start=80, sam=colours)
        (here / "masks").mkdir()
        write_palette_png("masks/00000.png", draw(SQUARES, 0)[1])
        with pytest.raises(OutputError, match="give overwrite=True to replace"):
            open_run("clip.mp4", "ann.png", outputs=[MaskOutput("masks")], sam=colours)

    @pytest.mark.parametrize("progress", [True, False, None])
    def test_a_bar_is_shown_when_asked_for(
        self, here: Path, colours: Sam, capsys: pytest.CaptureFixture[str], progress: bool | None
    ) -> None:
        list(track("clip.mp4", "ann.png", sam=colours, progress=progress))
        assert ("12/12" in capsys.readouterr().err) is bool(progress)


class TestMethods:
    def test_a_method_prepares_frames_ahead_in_order(
        self, here: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pipeline knows no method by name."""
        found: list[tuple[int, int]] = []

        class Inputs:
            is_cut = False

            def __init__(self, current: int, previous: int) -> None:
                self.sums = current, previous
                self.window: Window | None = None

            def in_window(self, window: Window) -> Inputs:
                self.window = window
                return self

        class Noting(AppearanceMethod):
            def reduce(self, image: Any) -> Any:
                return int(image.sum())

            def prepare(self, reduced: Any, previous: Any) -> Any:
                return Inputs(reduced, previous)

            def find(self, frame: Any, features: Any, prepared: Any) -> Any:
                assert prepared.sums[0] == int(frame.image.sum())
                assert prepared.window == features.window
                found.append(prepared.sums)
                inputs = super().prepare(super().reduce(frame.image), None)
                return super().find(frame, features, inputs)

        monkeypatch.setitem(_METHODS, "appearance", Noting)
        monkeypatch.setattr("torch.get_num_threads", lambda: 2)
        list(track("clip.mp4", "ann.png", sam=colours))
        assert len(found) == FRAMES - 1
        for (_, previous), (before, _) in zip(found[1:], found, strict=False):
            assert previous == before


class Counting:
    """An output of a user."""

    def __init__(self) -> None:
        self.path = Path("counts.txt")
        self.calls: list[str] = []

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        self.calls.append(f"open {video.width}")

    def prepare(self, result: Any) -> Any:
        return partial(self.calls.append, f"write {result.index}")

    def close(self) -> None:
        self.calls.append("close")

    def discard(self) -> None:
        self.calls.append("discard")


def test_outputs_of_ones_own(here: Path, colours: Sam) -> None:
    output = Counting()
    list(track("clip.mp4", "ann.png", outputs=[output], end=3, sam=colours))
    assert output.calls == ["open 256", "write 0", "write 1", "write 2", "close"]


class TestPublicNames:
    def test_all_can_be_imported(self) -> None:
        for name in persam_video.__all__:
            assert getattr(persam_video, name).__doc__, name
        assert set(persam_video.__all__) <= set(dir(persam_video))
        with pytest.raises(AttributeError, match="nothing"):
            _ = persam_video.nothing

    def test_torch_is_not_imported_before_it_is_needed(self, here: Path) -> None:
        """A wrong video, mask or option is reported without the seconds that torch takes."""
        code = (
            "import sys, persam_video\n"
            "from persam_video import open_run, open_video, ModelOptions, ObjectPrompt, VideoWriter, MaskOutput\n"
            "try: open_run('clip.mp4', 'none.png')\n"
            "except persam_video.AnnotationError: pass\n"
            "assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=here)


def test_the_library_logs_under_its_name(here: Path, colours: Sam, caplog: pytest.LogCaptureFixture) -> None:
    big = np.repeat(np.repeat(draw(SQUARES, 0)[1], 2, axis=0), 2, axis=1)
    with caplog.at_level(logging.INFO, "persam_video"), suppress(StopIteration):
        next(track("clip.mp4", big, sam=colours))
    assert [each.name.split(".")[0] for each in caplog.records] == ["persam_video"]
    assert "it was resized" in caplog.text


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = psutil.Process(os.getpid()).num_threads()
    yield
    assert psutil.Process(os.getpid()).num_threads() <= before + 8  # those of torch's and OpenCV's own pools


class TestVisibility:
    def test_frames_in_which_each_object_is_visible(
        self, here: Path, colours: Sam, caplog: pytest.LogCaptureFixture
    ) -> None:
        with open_run("clip.mp4", "ann.png", later_masks={5: draw([LATE], 5)[1]}, sam=colours) as run:
            list(run)
        assert run.visible_frames == {1: FRAMES, 2: FRAMES, 3: FRAMES - 5}
        assert run.unseen_objects == ()
        assert not caplog.records

    def test_an_object_that_is_never_seen_again_is_named(
        self, here: Path, colours: Sam, caplog: pytest.LogCaptureFixture
    ) -> None:
        gone = Square(3, BLUE, left=100, top=16, absent=range(1, FRAMES))
        first = draw([*SQUARES, gone], 0)
        frames = [first[0], *(draw([*SQUARES, gone], i)[0] for i in range(1, 4))]
        with VideoWriter("gone.mp4", width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)) as file:
            for pts, image in enumerate(frames):
                file.write(image, pts)
        with open_run("gone.mp4", first[1], sam=colours) as run:
            list(run)
        assert run.visible_frames == {1: 4, 2: 4, 3: 1}
        assert run.unseen_objects == (3,)
        assert "never seen after it was given: object 3" in caplog.text

    def test_a_single_frame_is_no_reason_to_warn(
        self, here: Path, colours: Sam, caplog: pytest.LogCaptureFixture
    ) -> None:
        with open_run("clip.mp4", "ann.png", end=1, sam=colours) as run:
            list(run)
        assert run.unseen_objects == ()
        assert not caplog.records


class TestFilesThatAreInputsAndOutputs:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"outputs": [MaskOutput(".")]},
            {"outputs": [MaskOutput("corrections")], "later_masks": [(4, "corrections/00004.png")]},
            {"outputs": [OverlayOutput("clip.mp4")]},
            {"outputs": [OverlayOutput("link.mp4")]},
            {"save_targets": "clip.mp4"},
            {"save_targets": "ann.png"},
            {"save_targets": "t.safetensors", "targets": "t.safetensors", "first_mask": None},
            {"outputs": [OverlayOutput("o.mp4")], "save_targets": "o.mp4"},
            {"outputs": [MaskOutput("o.mp4/masks"), OverlayOutput("o.mp4")]},
            {"outputs": [MaskOutput("m"), MaskOutput("./m")]},
            {"save_targets": "images/00001.png", "source": "images/*.png", "end": 1},
            {"save_targets": "images/00001.png", "source": "images", "end": 1},
        ],
    )
    def test_they_are_refused_before_anything_is_changed(
        self, here: Path, colours: Sam, arguments: dict[str, Any]
    ) -> None:
        (here / "corrections").mkdir()
        write_palette_png(here / "corrections" / "00004.png", draw(SQUARES, 4)[1])
        (here / "link.mp4").symlink_to("clip.mp4")
        (here / "images").mkdir()
        for index in range(2):
            PIL.Image.fromarray(draw(SQUARES, index)[0]).save(here / "images" / f"{index:05d}.png")
        with open_run("clip.mp4", "ann.png", end=1, save_targets="t.safetensors", sam=colours) as run:
            list(run)
        before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
        arguments = {"source": "clip.mp4", "first_mask": "ann.png", **arguments}
        with pytest.raises(OutputError, match=r"name another place|another run|which is a file"):
            open_run(arguments.pop("source"), overwrite=True, sam=colours, **arguments)
        assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before

    def test_a_mask_made_of_boxes_can_be_corrected_where_it_is(self, here: Path, colours: Sam) -> None:
        (here / "ann.png").rename(here / "first_mask.png")
        with open_run("clip.mp4", "first_mask.png", save_first_mask="first_mask.png", end=2, sam=colours) as run:
            assert run.first_mask_file is None
            assert len(list(run)) == 2

    def test_two_runs_to_one_output(self, here: Path, colours: Sam) -> None:
        outputs: list[dict[str, Any]] = [
            {"outputs": [OverlayOutput("o.mp4")]},
            {"outputs": [MaskOutput("m")]},
            {"save_targets": "t.safetensors"},
        ]
        for arguments in outputs:
            with open_run("clip.mp4", "ann.png", sam=colours, **arguments) as run:
                next(run)
                with pytest.raises(OutputError, match="another run is writing to it"):
                    open_run("clip.mp4", "ann.png", overwrite=True, sam=colours, **arguments)
                list(run)
            with open_run("clip.mp4", "ann.png", end=2, overwrite=True, sam=colours, **arguments) as run:
                list(run)
        with open_video("o.mp4") as overlay:
            assert len(list(overlay)) == 2
        assert sorted(path.name for path in here.iterdir()) == ["ann.png", "clip.mp4", "m", "o.mp4", "t.safetensors"]

    def test_overwriting_a_part_keeps_the_masks_of_the_rest(self, here: Path, colours: Sam) -> None:
        with open_run("clip.mp4", "ann.png", outputs=[MaskOutput("m")], sam=colours) as run:
            list(run)
        first = here / "m" / "00000.png"
        before = first.read_bytes()
        again = {"start": 3, "end": 6, "stride": 2, "outputs": [MaskOutput("m")], "overwrite": True}
        with open_run("clip.mp4", draw(SQUARES, 3)[1], sam=colours, **again) as run:
            list(run)
        kept = [i for i in range(FRAMES) if i != 4]
        assert sorted(path.name for path in (here / "m").iterdir()) == [f"{i:05d}.png" for i in kept]
        assert first.read_bytes() == before
