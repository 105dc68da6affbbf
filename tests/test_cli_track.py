"""``persam-track`` as a person runs it: end to end with the real weights, and every kind of wrong input."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
import torch
from demo_scene import DemoScene
from PIL import Image

from persam_video import load_results
from persam_video.cli.export import main as export
from persam_video.cli.track import main
from persam_video.errors import InputError
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.files.palette_png import read_palette_png, write_palette_png
from persam_video.options import METHODS, MODELS, PRECISIONS, SIZES, ModelOptions
from persam_video.sam.checkpoints import fetch_checkpoint
from persam_video.video.reader import open_video

ROOT = Path(__file__).parents[1]
CLIP, FIRST_MASK = ROOT / "demo" / "clip.mp4", ROOT / "demo" / "first_mask.png"
PROGRAM = [sys.executable, "-m", "persam_video.cli.track"]


@dataclass
class Run:
    done: subprocess.CompletedProcess[str]
    masks: Path
    overlay: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo clip, tracked by the command with the real weights, to the default places."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(CLIP, folder)
    fetch_checkpoint("vit_t", progress=False)
    done = subprocess.run(
        [*PROGRAM, str(folder / "clip.mp4"), "--first-mask", str(FIRST_MASK)],
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = folder / "clip_persam"
    return Run(done, outputs / "masks", outputs / "overlay.mp4")


class TestDemo:
    def test_it_ends_well_and_says_so(self, demo: Run) -> None:
        assert demo.done.returncode == 0, demo.done.stderr
        last = demo.done.stdout.splitlines()[-1]
        assert last.startswith("72 frames, 3 objects, ")
        for word in ("frames/s", "read", "encode", "track", "write", str(demo.masks), str(demo.overlay)):
            assert word in last
        assert "72/72" in demo.done.stderr  # the bar knew the total

    def test_every_object_is_followed(self, demo: Run, demo_scene: DemoScene) -> None:
        """Mean J over all frames but the first, which was given."""
        truths = [demo_scene.label_map(i) for i in range(1, 72)]
        masks = [read_palette_png(demo.masks / f"{i:05d}.png") for i in range(1, 72)]
        for i in (1, 2, 3):
            j = np.mean([region_similarity(m == i, t == i) for m, t in zip(masks, truths, strict=True)])
            assert j >= 0.85, f"object {i}: {j:.3f}"

    def test_an_object_that_is_away_has_no_mask_and_is_found_again(self, demo: Run, demo_scene: DemoScene) -> None:
        """One is hidden for some frames, another leaves the picture."""
        truths = [demo_scene.label_map(i) for i in range(72)]
        masks = [read_palette_png(demo.masks / f"{i:05d}.png") for i in range(72)]
        away = [(i, k) for k in (1, 2, 3) for i in range(72) if not (truths[i] == k).any()]
        assert len(away) >= 10
        assert np.mean([not (masks[i] == k).any() for i, k in away]) >= 0.95
        for i, k in away:
            if i < 71 and (truths[i + 1] == k).any():
                soon = [region_similarity(masks[n] == k, truths[n] == k) for n in range(i + 1, i + 7)]
                assert max(soon) > 0.5, f"object {k} is back in frame {i + 1}"

    def test_the_masks_are_daviss(self, demo: Run) -> None:
        names = sorted(p.name for p in demo.masks.iterdir())
        assert names == [f"{i:05d}.png" for i in range(72)]
        first, given = Image.open(demo.masks / "00000.png"), Image.open(FIRST_MASK)
        assert first.mode == "P"
        assert first.getpalette() == given.getpalette()
        assert np.array_equal(np.array(first), np.array(given))

    def test_the_overlay_has_the_clips_timing_and_shows_the_objects(self, demo: Run, demo_scene: DemoScene) -> None:
        with open_video(CLIP) as clip, open_video(demo.overlay) as overlay:
            for original, drawn in zip(clip, overlay, strict=True):
                assert drawn.time_seconds == original.time_seconds
                assert drawn.image.shape == original.image.shape
                inside = demo_scene.label_map(0) > 0
                if drawn.index == 0:
                    change = np.abs(drawn.image.astype(int) - original.image).mean(axis=2)
                    assert change[inside].mean() > 10 * change[~inside].mean()

    def test_it_does_not_write_over_its_own_outputs(self, demo: Run, capsys: pytest.CaptureFixture[str]) -> None:
        clip = demo.masks.parents[1] / "clip.mp4"
        before = demo.overlay.stat().st_mtime_ns
        assert main([str(clip), "--first-mask", str(FIRST_MASK)]) == 2
        assert_one_line(capsys, "--overwrite", "masks")
        assert demo.overlay.stat().st_mtime_ns == before


def assert_one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("persam-track: error: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``clip.mp4`` and ``ann.png``, which is the working folder."""
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    shutil.copy(FIRST_MASK, tmp_path / "ann.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestBadInput:
    """One line on stderr that names the thing, exit code 2, nothing left behind."""

    def refused(self, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str) -> None:
        before = sorted(here.rglob("*"))
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        assert code == 2
        assert_one_line(capsys, *words)
        assert sorted(here.rglob("*")) == before

    def test_no_such_file(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.refused(here, capsys, ["other.mp4", "--first-mask", "ann.png"], "other.mp4", "no such file")

    def test_not_a_video(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "text.mp4").write_text("this is not a video\n" * 100)
        self.refused(here, capsys, ["text.mp4", "--first-mask", "ann.png"], "text.mp4", "give an mp4")

    def test_no_frames(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with av.open("empty.mkv", "w") as container:
            stream = container.add_stream("libx264", rate=24)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            container.start_encoding()
        self.refused(here, capsys, ["empty.mkv", "--first-mask", "ann.png"], "empty.mkv", "frame")

    def test_no_mask(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "no.png"], "no.png", "no such file")

    def test_a_mask_without_an_object(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_palette_png("zero.png", np.zeros((480, 854), np.uint8))
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "zero.png"], "zero.png", "no object")

    def test_an_object_that_is_lost_in_resizing(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        big = np.zeros((960, 1708), np.uint8)
        big[100:500, 100:500] = 1
        big[700, 1000] = 4
        write_palette_png("big.png", big)
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "big.png"], "big.png", "4", "no pixel")

    def test_a_mask_of_another_shape(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_palette_png("square.png", np.ones((480, 480), np.uint8))
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "square.png"], "480×480", "854×480")

    def test_a_photo_as_a_mask(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (480, 854, 3), dtype=np.uint8)
        Image.fromarray(noise).save("photo.png")
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "photo.png"], "photo.png", "palette")

    def test_more_than_254_objects(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ids = (np.arange(480 * 854).reshape(480, 854) // 1200).astype(np.uint16)
        Image.fromarray(ids).save("many.png")
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "many.png"], "many.png", "254")

    def test_unknown_model(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--model", "vit_x"]
        self.refused(here, capsys, arguments, "vit_x", "vit_t", "vit_h")

    def test_unknown_method(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--method", "xmem"]
        self.refused(here, capsys, arguments, "xmem", "appearance", "persam-f")

    def test_no_arguments(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.refused(here, capsys, [], "VIDEO", "--first-mask")

    def test_the_video_may_come_last(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.refused(here, capsys, ["--first-mask", "ann.png", "other.mp4"], "other.mp4", "no such file")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
    def test_cuda_where_there_is_none(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--device", "cuda"]
        self.refused(here, capsys, arguments, "cuda", "--device cpu")

    @pytest.mark.parametrize("name", ["no.pth", "text.pth", "text.safetensors", "pickle.pt"])
    def test_a_checkpoint_that_is_none(self, here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
        for text in ("text.pth", "text.safetensors"):
            (here / text).write_text("no weights\n")
        torch.save({"code": os.system}, here / "pickle.pt")  # would run code if it were unpickled
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "ann.png", "--checkpoint", name], name)

    def test_weights_of_something_else(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        torch.save({"layer.weight": torch.zeros(2, 3)}, here / "other.pt")
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--checkpoint", "other.pt"]
        self.refused(here, capsys, arguments, "other.pt", "vit_t", "missing", "unknown (layer.weight)")

    def test_an_overlay_of_an_unknown_kind(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--overlay", "out.webm", "--masks", "new/masks"]
        self.refused(here, capsys, arguments, "out.webm", ".mp4")

    def test_a_place_that_cannot_be_written(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "file").write_text("in the way")
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--masks", "file/masks"]
        self.refused(here, capsys, arguments, "file/masks", "cannot be written")

    @pytest.mark.parametrize("masks", [".", "annotations"])
    def test_outputs_over_inputs(self, here: Path, capsys: pytest.CaptureFixture[str], masks: str) -> None:
        (here / "annotations").mkdir()
        shutil.copy(FIRST_MASK, here / "annotations" / "00000.png")
        first = "ann.png" if masks == "." else "annotations"
        arguments = ["clip.mp4", "--first-mask", first, "--masks", masks, "--overwrite"]
        self.refused(here, capsys, arguments, "input", "name another place for the output")

    def test_targets_over_a_mask_of_a_folder(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "annotations").mkdir()
        for name in ("00000.png", "00004.png"):
            shutil.copy(FIRST_MASK, here / "annotations" / name)
        arguments = [
            "clip.mp4",
            "--first-mask",
            "annotations",
            "--save-targets",
            "annotations/00004.png",
            "--overwrite",
        ]
        self.refused(here, capsys, arguments, "annotations/00004.png: is an input")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--first-mask", "ann.png", "--first-mask", "ann.png"],
            ["--first-prompts", "a.json", "--first-prompts", "b.json"],
            ["--first-mask", "ann.png", "--masks", "a", "--masks", "b"],
            ["--first-mask", "ann.png", "--overlay", "a.mp4", "--overlay", "b.mp4"],
        ],
    )
    def test_files_that_would_be_forgotten(
        self, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        self.refused(here, capsys, ["clip.mp4", *arguments], f"argument {arguments[-2]}: is given twice; give it once")

    def test_an_impossible_time(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--start", "1:75"]
        self.refused(here, capsys, arguments, "'1:75' is neither a frame")

    def test_decoding_of_images_on_a_device(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "images").mkdir()
        shutil.copy(FIRST_MASK, here / "images" / "a.png")
        arguments = ["images", "--first-mask", "ann.png", "--hwaccel", "cuda"]
        self.refused(here, capsys, arguments, "--hwaccel cuda: only video files are decoded; leave it out")

    def test_an_overlay_over_the_video(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["clip.mp4", "--first-mask", "ann.png", "--overlay", "clip.mp4", "--overwrite"]
        self.refused(here, capsys, arguments, "clip.mp4", "is an input")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--start", "72"], ("72 frames", "--start")),
            (["--start", "1:xx"], ("'1:xx'", "4.5s")),
            (["--stride", "0"], ("stride",)),
            (["--start", "10", "--end", "5"], ("--end",)),
        ],
    )
    def test_no_frame_wanted(
        self, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: tuple[str, ...]
    ) -> None:
        self.refused(here, capsys, ["clip.mp4", "--first-mask", "ann.png", *arguments], *words)

    def test_no_network_and_nothing_in_the_cache(
        self, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PERSAM_VIDEO_CACHE", str(here / "ann.png" / "cache"))  # cannot be made
        self.refused(
            here, capsys, ["clip.mp4", "--first-mask", "ann.png"], "no weights for vit_t", "npm", "--checkpoint"
        )


@pytest.mark.weights
class TestBrokenOff:
    def test_a_damaged_video_keeps_what_was_readable(self, tmp_path: Path) -> None:
        """The clip's index stands before its pictures, so that a part of the file can be read."""
        whole = CLIP.read_bytes()
        (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 5])
        done = subprocess.run(
            [*PROGRAM, "cut.mp4", "--first-mask", str(FIRST_MASK), "--masks", "masks", "--overlay", "o.mkv", "--quiet"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        masks = sorted(p.name for p in (tmp_path / "masks").iterdir())
        assert masks == [f"{i:05d}.png" for i in range(len(masks))]
        assert f"cut.mp4: damaged at frame {len(masks)} " in lines[0]
        with open_video(tmp_path / "o.mkv") as overlay:
            assert len(list(overlay)) == len(masks) > 0

    @pytest.mark.skipif(os.name == "nt", reason="signals")
    def test_control_c_leaves_whole_files_and_says_up_to_where(self, tmp_path: Path) -> None:
        process = subprocess.Popen(
            [*PROGRAM, str(CLIP), "--first-mask", str(FIRST_MASK), "--masks", "masks", "--overlay", "o.mp4"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            # A test run in the background has Ctrl-C ignored, and would hand that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 120
        while not (tmp_path / "masks" / "00002.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        masks = sorted((tmp_path / "masks").iterdir())
        assert f"interrupted; frames up to {len(masks) - 1} are in masks, o.mp4" in stderr
        assert "Traceback" not in stderr
        assert all(read_palette_png(mask).shape == (480, 854) for mask in masks)
        with open_video(tmp_path / "o.mp4") as overlay:
            assert len(list(overlay)) == len(masks)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["masks", "o.mp4", "results.jsonl"]
        assert [result.frame.name for result in load_results(tmp_path / "results.jsonl")] == [m.stem for m in masks]


class TestModelOptions:
    def test_help_lists_methods_and_models_without_importing_torch(self) -> None:
        code = (
            "import sys\n"
            "from persam_video.cli.track import main\n"
            "try:\n"
            "    main(['--help'])\n"
            "finally:\n"
            "    print('torch imported:', 'torch' in sys.modules)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        text = " ".join(done.stdout.split())
        assert text.endswith("torch imported: False")
        for option, choices in (("method", METHODS), ("model", MODELS), ("precision", PRECISIONS)):
            assert f"--{option} {{{','.join(map(str, choices))}}}" in text
        assert f"--size {{auto,{','.join(map(str, SIZES))}}}" in text
        for name, description in METHODS.items():
            assert f"{name}: {description}" in text

    def test_sizes(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["clip.mp4", "--first-mask", "ann.png", "--size", "600"])
        assert "--size: '600' is no size; give auto, 512, 768 or 1024" in capsys.readouterr().err

    def test_every_model_option_has_a_command_line_option(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        received: list[ModelOptions] = []

        def open_run(*_: object, model: ModelOptions, **__: object) -> None:
            received.append(model)
            raise InputError("no model is loaded here")

        monkeypatch.setattr("persam_video.run.open_run", open_run)
        arguments = (
            "clip.mp4 --first-mask ann.png --model vit_b --checkpoint weights.pt --device cuda:1 --precision fp16 "
            "--size 512 --window frame --exact-padding --compile --no-graphs --batch 3"
        )
        assert main(arguments.split()) == 2
        expected = ModelOptions(
            model="vit_b",
            checkpoint=Path("weights.pt"),
            device="cuda:1",
            precision="fp16",
            size=512,
            window="frame",
            exact_padding=True,
            compile=True,
            graphs=False,
            batch=3,
        )
        default = ModelOptions()
        assert all(getattr(expected, each.name) != getattr(default, each.name) for each in fields(ModelOptions))
        assert received == [expected]


class TestSave:
    """Formats that are written while tracking, and where the record goes. With the real weights, a few frames each."""

    TRACK: ClassVar = ["clip.mp4", "--first-mask", "ann.png", "--end", "3", "--size", "512", "--quiet"]

    def written(self) -> list[str]:
        return sorted(path.as_posix() for path in Path().iterdir() if path.name not in ("clip.mp4", "ann.png"))

    def test_formats_and_names(self, here: Path, sam: object) -> None:
        names = ["--names", "1=bear,2=ball"]
        assert main([*self.TRACK, *names, "--save", "coco,overlay,cutout", "--out", "o", "--objects", "2"]) == 0
        assert sorted(path.name for path in Path("o").iterdir()) == [
            "coco.json",
            "cutout",
            "overlay.mp4",
            "results.jsonl",
        ]
        results = load_results("o/results.jsonl")
        assert results.video is not None  # in the folder above
        assert results.run.names == {1: "bear", 2: "ball"}
        tracked = list(results)
        assert len(tracked) == 3
        assert [each["name"] for each in results.to_coco()["categories"]] == ["bear", "ball", "object 3"]
        cutout = np.array(Image.open("o/cutout/00001.png"))
        assert abs((cutout[..., 3] > 127).sum() / (tracked[1].label_map == 2).sum() - 1) < 0.05
        # Exporting gives the same.
        assert export(["o/results.jsonl", "--to", "coco,cutout", "--objects", "2", "--out", "again", "--quiet"]) == 0
        assert Path("again/coco.json").read_bytes() == Path("o/coco.json").read_bytes()
        assert Path("again/cutout/00001.png").read_bytes() == Path("o/cutout/00001.png").read_bytes()

    def test_every_run_keeps_a_record_of_its_own(self, here: Path, sam: object) -> None:
        assert main([*self.TRACK, "--masks", "a"]) == 0
        assert self.written() == ["a", "results.jsonl"]
        first = Path("results.jsonl").read_bytes()
        assert main([*self.TRACK, "--masks", "b"]) == 0
        assert self.written() == ["a", "b", "b_results.jsonl", "results.jsonl"]
        assert Path("results.jsonl").read_bytes() == first
        assert main([*self.TRACK, "--masks", "a", "--overwrite"]) == 0
        assert self.written() == ["a", "b", "b_results.jsonl", "results.jsonl"]
        assert main([*self.TRACK, "--masks", "c", "--no-results"]) == 0
        assert main([*self.TRACK, "--results", "only.jsonl"]) == 0
        assert self.written() == ["a", "b", "b_results.jsonl", "c", "only.jsonl", "results.jsonl"]

    def test_a_file_of_that_name_is_kept(self, here: Path, sam: object) -> None:
        Path("results.jsonl").write_text("mine")
        assert main([*self.TRACK, "--masks", "a", "--overwrite"]) == 0
        assert self.written() == ["a", "a_results.jsonl", "results.jsonl"]
        assert Path("results.jsonl").read_text() == "mine"

    def test_a_record_that_cannot_be_written_is_no_error(
        self, here: Path, sam: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Masks may go into a folder whose parent is not writable."""
        Path("parent/masks").mkdir(parents=True)
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path("parent") and access(path, mode))
        assert main([*self.TRACK, "--masks", "parent/masks"]) == 0
        assert "parent is not writable: no results.jsonl is written" in capsys.readouterr().err
        assert len(list(Path("parent/masks").iterdir())) == 3

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--save", "cocoa"], ["no format 'cocoa'", "coco-polygons"]),
            (["--background", "grey"], ["--background", "name one"]),
            (["--results", "r.jsonl", "--no-results"], ["--results and --no-results"]),
            (["--names", "dog"], ["dog"]),
            (["--save", "cutout-mov", "--masks", "cutout.mov", "--out", "."], ["two outputs"]),
        ],
    )
    def test_wrong_options(
        self, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
    ) -> None:
        try:
            code = main([*self.TRACK, *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        assert code == 2
        assert_one_line(capsys, *words)
        assert self.written() == []
