"""Objects that are given in other ways than by a first mask: boxes, points, masks of later frames, kept targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import safetensors
import torch
from colour_sam import BLUE, GREEN, RED, ColourSam, Square, draw
from PIL import Image

from persam_video import InputError, Sam, Segmenter, Tracker, open_run, open_video, track
from persam_video.cli import track as cli
from persam_video.errors import AnnotationError, OutputError
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.files.palette_png import read_palette_png, write_palette_png
from persam_video.frame import LabelMap
from persam_video.inputs.annotations import read_annotations
from persam_video.inputs.later_masks import LaterMasks, masks_in
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.methods.saved_targets import load_targets, save_targets
from persam_video.prompt_masks import segment_prompts
from persam_video.result import FrameResult
from persam_video.video.writer import VideoWriter

FRAMES = 12
SQUARES = [Square(1, RED, left=8, top=16), Square(2, GREEN, left=20, top=80)]
LATE = Square(3, BLUE, left=100, top=16, absent=range(5))
METHODS = ("appearance", "persam-f", "persam")


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


def first_step(sam: Sam, method: str | None = None) -> Tracker:
    """Tracker after its first frame."""
    image, label_map = draw(SQUARES, 0)
    tracker = Tracker(sam, method=method)
    tracker.step(image, label_map=label_map)
    return tracker


def iou(label_map: LabelMap, truth: LabelMap, object_id: int) -> float:
    return region_similarity(label_map == object_id, truth == object_id)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Sam) -> Path:
    """``clip.mp4`` and ``ann.png``, the working folder; `persam-track` with colours for SAM."""
    squares = [*SQUARES, LATE]
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)) as writer:
        for index in range(FRAMES):
            writer.write(draw(squares, index)[0], index)
    write_palette_png(tmp_path / "ann.png", draw(SQUARES, 0)[1])
    write_palette_png(tmp_path / "late.png", np.where(draw(squares, 5)[1] == 3, 3, 0).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("persam_video.sam.models.load_sam", lambda *_, **__: colours)
    return tmp_path


def found_at(folder: Path, index: int) -> LabelMap:
    return read_palette_png(folder / "clip_persam" / "masks" / f"{index:05d}.png")


class TestPrompts:
    def test_a_box_and_a_point(self, sam: Sam, demo_scene: object) -> None:
        """By the real SAM, on the demo clip's first frame."""
        image, truth = demo_scene.render(0)  # type: ignore[attr-defined]
        rows, columns = np.nonzero(truth == 1)
        box = (float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0)
        ys, xs = np.nonzero(truth == 2)
        inside = (float(np.median(xs)), float(np.median(ys)), True)
        made = segment_prompts(sam, image, [ObjectPrompt(1, box=box), ObjectPrompt(2, points=(inside,))])
        assert set(np.unique(made)) == {0, 1, 2}
        assert iou(made, truth, 1) > 0.8
        assert iou(made, truth, 2) > 0.3  # a point may mean a part

    def test_where_nothing_is(self, colours: Sam) -> None:
        image = draw(SQUARES, 0)[0]
        twice = [ObjectPrompt(i, points=((24, 32, True),)) for i in (1, 2)]
        with pytest.raises(AnnotationError, match="object 2: SAM's mask is empty or covered by other objects"):
            segment_prompts(colours, image, twice)

    def test_from_python(self, here: Path, colours: Sam) -> None:
        point = ObjectPrompt(9, points=((24.0, 32.0, True),))
        results = list(track("clip.mp4", first_prompts=[point], sam=colours))
        assert all(iou(each.label_map == 9, draw(SQUARES, each.index)[1] == 1, 1) > 0.8 for each in results)


class TestFromPython:
    """`track` with masks of all kinds; tests/test_first_mask.py has the kinds themselves."""

    def results(self, colours: Sam, *arguments: Any, **options: Any) -> list[FrameResult]:
        return list(track("clip.mp4", *arguments, sam=colours, **options))

    def test_first_masks(self, here: Path, colours: Sam) -> None:
        truth = draw(SQUARES, 0)[1]
        stack = np.stack([truth == 1, truth == 2])
        masks = [Image.open("ann.png"), torch.from_numpy(truth), stack, list(stack), {1: stack[0], 2: stack[1] * 1.0}]
        for mask in masks:
            results = self.results(colours, mask, end=3)
            assert np.array_equal(results[0].label_map, truth)
            assert all(iou(results[2].label_map, draw(SQUARES, 2)[1], i) > 0.8 for i in (1, 2))

    def test_files_by_object(self, here: Path, colours: Sam) -> None:
        for i, name in ((1, "b.png"), (2, "a.png")):
            Image.fromarray(np.where(draw(SQUARES, 0)[1] == i, 255, 0).astype(np.uint8)).save(name)
        for masks in ({5: "b.png", 9: Path("a.png")}, (name for name in ("b.png", "a.png"))):
            (result,) = self.results(colours, masks, end=1)
            assert np.array_equal(result.label_map > 0, draw(SQUARES, 0)[1] > 0)
        assert result.object_ids == (1, 2)

    def test_later_masks(self, here: Path, colours: Sam) -> None:
        late = draw([*SQUARES, LATE], 5)[1] == 3
        for later in ({5: {3: late}}, {np.int64(5): {3: torch.from_numpy(late)}}, [(5, np.where(late, 3, 0))]):
            results = self.results(colours, "ann.png", later_masks=later, end=8)
            assert results[4].object_ids == (1, 2) and results[7].object_ids == (1, 2, 3)
            assert iou(results[7].label_map, draw([*SQUARES, LATE], 7)[1], 3) > 0.8
        assert self.results(colours, "ann.png", later_masks=iter([(5, late)]), end=7)[-1].object_ids == (1, 2)

    @pytest.mark.parametrize(
        ("later", "words"),
        [
            (5, "later_masks is of the type int; give masks by frame number"),
            ("late.png", "later_masks is of the type str"),
            (np.zeros((144, 256)), "later_masks is of the type ndarray"),
            (["late.png"], "later_masks holds late.png; give pairs of a frame number and a mask"),
            ({"five": "late.png"}, r"late.png: is not named by its frame; name it like 00000\.png"),
            ({5.0: "late.png"}, "later_masks: 5.0 is no frame number"),
            ({True: "late.png"}, "later_masks: True is no frame number"),
            ({-1: "late.png"}, "the mask of frame -1: frames are counted from 0"),
            ({5: None}, "the mask of frame 5 is of the type NoneType"),
            ({5: ""}, "the name of a mask is empty"),
            ([(5, "late.png"), (np.int32(5), "ann.png")], "frame 5 has two masks, late.png and ann.png; give one"),
        ],
    )
    def test_later_masks_that_cannot_be_used(self, here: Path, colours: Sam, later: Any, words: str) -> None:
        with pytest.raises(AnnotationError, match=words):
            track("clip.mp4", "ann.png", later_masks=later, sam=colours)

    @pytest.mark.parametrize("first", [7, "", [], {}, b"ann.png", np.zeros((144, 256)), [None], {1: None}, object()])
    def test_first_masks_that_cannot_be_used(self, here: Path, colours: Sam, first: Any) -> None:
        with pytest.raises(AnnotationError):
            track("clip.mp4", first, sam=colours)

    def test_an_open_file_is_no_mask(self, here: Path, colours: Sam) -> None:
        with (
            (here / "ann.png").open("rb") as file,
            pytest.raises(AnnotationError, match="the first mask is of the type BufferedReader"),
        ):
            track("clip.mp4", file, sam=colours)

    def test_files_of_an_iterator_are_inputs(self, here: Path, colours: Sam) -> None:
        prompts = here / "p.json"
        prompts.write_text(json.dumps({"7": {"points": [[24, 32]]}}))
        with pytest.raises(OutputError, match=r"p\.json: is an input"):
            track("clip.mp4", first_prompts=iter([prompts]), save_targets=prompts, overwrite=True, sam=colours)
        with pytest.raises(OutputError, match=r"ann\.png: is an input"):
            track("clip.mp4", iter(["ann.png"]), save_targets="ann.png", overwrite=True, sam=colours)

    @pytest.mark.parametrize("prompts", [5, ObjectPrompt(1), [5], ["none.json"], [None]])
    def test_prompts_that_cannot_be_used(self, here: Path, colours: Sam, prompts: Any) -> None:
        with pytest.raises(AnnotationError):
            track("clip.mp4", first_prompts=prompts, sam=colours)

    def test_an_image_of_a_coco_file(self, here: Path, colours: Sam) -> None:
        images = [{"id": i, "file_name": name} for i, name in enumerate(("one.jpg", "two.jpg"))]
        polygon = [[20, 80, 52, 80, 52, 112, 20, 112]]
        annotations = [{"image_id": 1, "category_id": 4, "segmentation": polygon}]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 4, "name": "toy"}]}
        (here / "c.json").write_text(json.dumps(content))
        with pytest.raises(AnnotationError, match="choose one with coco_image"):
            track("clip.mp4", first_coco="c.json", sam=colours)
        (result,) = self.results(colours, first_coco="c.json", coco_image="two", end=1)
        assert iou(result.label_map, np.where(draw(SQUARES, 0)[1] == 2, 1, 0).astype(np.uint8), 1) > 0.8
        with open_video("clip.mp4") as reader:
            assert read_annotations(reader, first_coco="c.json", coco_image=1).names == {1: "toy"}
        with pytest.raises(AnnotationError, match="coco_image: give first_coco as well"):
            track("clip.mp4", "ann.png", coco_image="two", sam=colours)


class TestStep:
    @pytest.mark.parametrize(
        "kind",
        [
            Image.fromarray,
            torch.from_numpy,
            lambda image: torch.from_numpy(image).permute(2, 0, 1),
            lambda image: np.dstack([image, image[..., :1]]),
            lambda image: image[:, ::-1][:, ::-1],
        ],
    )
    def test_images_of_other_kinds(self, colours: Sam, kind: Callable[[npt.NDArray[np.uint8]], Any]) -> None:
        image, truth = draw(SQUARES, 0)
        tracker, expected = Tracker(colours), Tracker(colours)
        tracker.step(kind(image), label_map={1: truth == 1, 2: torch.from_numpy(truth == 2)})
        expected.step(image, label_map=truth)
        image = draw(SQUARES, 1)[0]
        assert np.array_equal(tracker.step(kind(image)).label_map, expected.step(image).label_map)

    def test_grey(self, colours: Sam) -> None:
        image, truth = draw(SQUARES, 0)
        result = Tracker(colours).step(image[..., 0], label_map=truth)
        assert np.array_equal(result.frame.image, np.repeat(image[..., :1], 3, axis=2))

    @pytest.mark.parametrize(
        ("frame", "words"),
        [
            (None, "the frame is None: the video has ended or could not be read"),
            ((False, None), "the frame is of the type tuple"),
            ("clip.mp4", "the frame is of the type str"),
            (np.zeros((9, 9, 3)), "the frame is of the type float64; .* multiply it by 255"),
            (np.zeros((2, 9, 9, 3), np.uint8), r"the frame has the shape \(2, 9, 9, 3\)"),
        ],
    )
    def test_what_is_no_image(self, colours: Sam, frame: Any, words: str) -> None:
        for tracker in (Tracker(colours), first_step(colours)):
            with pytest.raises(InputError, match=words):
                tracker.step(frame)

    def test_void_is_settled_once(self, colours: Sam, caplog: pytest.LogCaptureFixture) -> None:
        """By `step`, whose masks are the user's, not by `start`, to which a run gives those that it has settled."""
        image, truth = draw(SQUARES, 0)
        spread = np.choose(truth, [0, 127, 255])
        result = Tracker(colours).step(image, label_map=spread)
        assert result.object_ids == (1, 2)
        assert "255 is an object" in caplog.text
        caplog.clear()
        assert Tracker(colours).start(image, label_map=spread)().object_ids == (127,)
        assert not caplog.messages

    def test_segmenter(self, colours: Sam) -> None:
        image, truth = draw(SQUARES, 0)
        for reference in ((Image.fromarray(image), torch.from_numpy(truth)), (image, [truth == 1, truth == 2])):
            segmenter = Segmenter(colours, iter([reference]))
            assert segmenter.object_ids == (1, 2)
            other = draw(SQUARES, 3)[0]
            found = segmenter.segment(torch.from_numpy(other).permute(2, 0, 1)).label_map
            assert np.array_equal(found, segmenter.segment(other).label_map)
            with pytest.raises(InputError, match="the image is None"):
                segmenter.segment(None)  # type: ignore[arg-type]
        for references, words in (
            ([], "no reference was given"),
            ([image], "reference 1 is of the type ndarray; give pairs of an image and its mask"),
            (5, "reference 1 is of the type int"),
            ([(None, truth)], "the image of reference 1 is None"),
        ):
            with pytest.raises(InputError, match=words):
                Segmenter(colours, references)  # type: ignore[arg-type]


@pytest.mark.slow
class TestCommand:
    def run(self, *arguments: str) -> int:
        return cli.main(["clip.mp4", *arguments, "--quiet"])

    def test_points_make_a_mask_that_is_kept(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        points = ["--first-point", "1", "24", "32", "--first-point", "2", "36", "96", "+"]
        assert self.run(*points) == 0
        made = read_palette_png(here / "clip_persam" / "first_mask.png")
        assert np.array_equal(made, found_at(here, 0))
        for index in (0, FRAMES - 1):
            truth = draw(SQUARES, index)[1]
            assert all(iou(found_at(here, index), truth, i) > 0.8 for i in (1, 2))
        assert self.run(*points) == 2
        assert "give --overwrite" in capsys.readouterr().err

    def test_boxes_from_json_beside_a_mask(self, here: Path) -> None:
        (here / "p.json").write_text(json.dumps({"7": {"points": [[24, 32]]}}))
        write_palette_png("only.png", np.where(draw(SQUARES, 0)[1] == 2, 2, 0).astype(np.uint8))
        assert self.run("--first-mask", "only.png", "--first-prompts", "p.json") == 0
        assert set(np.unique(found_at(here, 3))) == {0, 2, 7}

    def test_coco(self, here: Path) -> None:
        picture = {"id": 1, "file_name": "first.jpg", "width": 256, "height": 144}
        polygon = {"image_id": 1, "segmentation": [[20, 80, 52, 80, 52, 112, 20, 112]], "bbox": [20, 80, 32, 32]}
        (here / "c.json").write_text(json.dumps({"images": [picture], "annotations": [polygon]}))
        assert self.run("--first-coco", "c.json") == 0
        assert iou(found_at(here, 6), np.where(draw(SQUARES, 6)[1] == 2, 1, 0).astype(np.uint8), 1) > 0.8

    def test_an_object_that_starts_later(self, here: Path) -> None:
        assert self.run("--first-mask", "ann.png", "--mask-at", "5", "late.png") == 0
        assert set(np.unique(found_at(here, 4))) == {0, 1, 2}
        truth = draw([*SQUARES, LATE], 9)[1]
        assert all(iou(found_at(here, 9), truth, i) > 0.8 for i in (1, 2, 3))

    def test_a_folder_of_masks_whose_first_is_the_first_mask(self, here: Path) -> None:
        (here / "masks").mkdir()
        (here / "ann.png").rename(here / "masks" / "00000.png")
        (here / "late.png").rename(here / "masks" / "00005.png")
        assert self.run("--mask-at", "masks") == 0
        assert set(np.unique(found_at(here, 8))) == {0, 1, 2, 3}

    def test_masks_that_are_not_reached(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--first-mask", "ann.png", "--mask-at", "50", "late.png") == 0
        assert "the masks of frames that were not reached had no effect: 50" in capsys.readouterr().err

    def test_targets_are_found_in_another_video(self, here: Path) -> None:
        assert self.run("--first-mask", "ann.png", "--save-targets", "toys.safetensors") == 0
        other = [Square(1, RED, left=120, top=60, absent=range(3)), Square(2, GREEN, left=30, top=20)]
        with VideoWriter(
            here / "other.mp4", width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)
        ) as writer:
            for index in range(10):
                writer.write(draw(other, index)[0], index)
        assert cli.main(["other.mp4", "--targets", "toys.safetensors", "--quiet"]) == 0
        for index in (0, 9):
            found = read_palette_png(here / "other_persam" / "masks" / f"{index:05d}.png")
            truth = draw(other, index)[1]
            assert iou(found, truth, 2) > 0.8
            assert iou(found, truth, 1) > 0.8 if index else not (found == 1).any()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--first-box", "1", "2", "3", "4", "x"], "--first-box 1 2 3 4 x: give an object's id and its box"),
            (["--first-point", "1", "2", "-"], "--first-point 1 2 -: give an object's id and a point on it"),
            (["--first-point", "1", "2000", "20"], "object 1: the point 2000 20 is outside the image, 256×144"),
            (["--first-mask", "ann.png", "--first-point", "1", "20", "20"], "object 1: has a mask and a box or points"),
            (["--first-mask", "ann.png", "--mask-at", "0", "late.png"], "frame 0, the first, has two masks"),
            (["--mask-at", "5", "late.png"], "no object is given in frame 0, the first: give a mask, box or point, or"),
            (["--first-mask", "ann.png", "--mask-at", "5", "none.png"], "none.png: no such file"),
            (["--first-mask", "ann.png", "--mask-at", "x", "late.png"], "--mask-at x late.png: give a frame's number"),
            (["--first-mask", "ann.png", "--mask-at", "٣", "late.png"], "--mask-at ٣ late.png: give a frame's number"),
            (["--first-mask", "ann.png", "--mask-at", ""], "--mask-at : give a frame's number"),
            (["--first-mask", "ann.png", "--mask-at", "9" * 5000, "late.png"], "give a frame's number and its mask"),
            (["--first-mask", ""], "the name of a mask is empty"),
            (["--first-prompts", ""], "the name of a file is empty; give a JSON file"),
            (["--first-coco", ""], "the name of a file is empty; give a JSON file"),
            (
                ["--first-box", "9" * 5000, "2", "3", "4", "5"],
                "--first-box 999999999999999999999999999999999999999…: give",
            ),
            (["--first-box", "٣", "2", "3", "4", "5"], "--first-box ٣ 2 3 4 5: give an object's id"),
            (
                ["--first-box", "1", "2", "3", "4", "inf"],
                "object 1: its box or a point has a coordinate that is not finite",
            ),
            (["--first-box", "1", "2", "3", "4", "1e9"], "a coordinate that is beyond any image"),
            (["--first-mask", "ann.png", "--coco-image", "a"], "--coco-image: give --first-coco as well"),
            (
                ["--targets", "none.safetensors"],
                "no such file; it should be a file written by --save-targets",
            ),
            (["--targets", "ann.png"], "ann.png: cannot be read"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
    ) -> None:
        assert self.run(*arguments) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1
        assert words in error
        assert not (here / "clip_persam").exists()

    def test_the_video_may_come_last(self, here: Path) -> None:
        for arguments in (
            ["--first-point", "1", "24", "32"],
            ["--first-mask", "ann.png", "--mask-at", "5", "late.png"],
        ):
            assert cli.main(["--quiet", "--overwrite", *arguments, "clip.mp4"]) == 0


@pytest.mark.slow
class TestCorrection:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_tracked_object_is_corrected_and_the_others_go_on(self, colours: Sam, method: str) -> None:
        """Object 1 was given as the green square by mistake; from frame 2 on it is the blue one."""
        squares = [*SQUARES, Square(3, BLUE, left=100, top=16)]
        image, truth = draw(squares, 0)
        tracker = Tracker(colours, method=method)
        tracker.step(image, label_map=np.where(truth == 3, 0, truth))
        tracker.step(draw(squares, 1)[0])
        image, truth = draw(squares, 2)
        corrected = tracker.step(image, label_map=np.where(truth == 3, 1, 0))
        assert np.array_equal(corrected.mask(1), truth == 3)
        assert iou(corrected.label_map, truth, 2) > 0.8
        assert corrected.object_ids == tracker.object_ids == (1, 2)
        for index in range(3, 6):
            image, truth = draw(squares, index)
            result = tracker.step(image)
            assert region_similarity(result.mask(1), truth == 3) > 0.8
            assert region_similarity(result.mask(2), truth == 2) > 0.8

    @pytest.mark.parametrize("method", METHODS)
    def test_all_objects_may_be(self, colours: Sam, method: str) -> None:
        tracker = first_step(colours, method)
        image, truth = draw(SQUARES, 1)
        tracker.step(image, label_map=truth)
        image, truth = draw(SQUARES, 2)
        result = tracker.step(image)
        assert all(region_similarity(result.mask(i), truth == i) > 0.8 for i in (1, 2))


class TestLaterMasks:
    def test_each_is_taken_once(self, here: Path) -> None:
        later = LaterMasks([(5, here / "late.png"), (8, here / "ann.png")], width=256, height=144)
        from persam_video.frame import Frame

        frame = Frame(index=5, image=draw(SQUARES, 5)[0], name="00005")
        taken = later.pop(frame)
        assert taken is not None and set(np.unique(taken)) == {0, 3}
        assert later.pop(frame) is None
        assert later.unreached == (8,)

    def test_a_folder_of_frames_gives_that_of_its_frame(self, here: Path) -> None:
        (here / "masks").mkdir()
        for name, mask in (("00000", "ann.png"), ("00005", "late.png")):
            (here / mask).rename(here / "masks" / f"{name}.png")
        (late,) = LaterMasks([(5, here / "masks")], width=256, height=144)._masks.values()
        assert late == here / "masks"
        with pytest.raises(AnnotationError, match="holds no mask of frame 4"):
            LaterMasks([(4, here / "masks")], width=256, height=144)

    def test_points_on_an_object_under_a_mask(self, here: Path, colours: Sam) -> None:
        masks = draw(SQUARES, 0)[1]
        rows, columns = np.nonzero(masks == 1)
        point = (float(columns.mean()), float(rows.mean()), True)
        with pytest.raises(AnnotationError, match="object 7: SAM's mask of its box or points lies wholly under masks"):
            open_run(
                "clip.mp4", np.where(masks == 1, 1, 0), first_prompts=[ObjectPrompt(7, points=(point,))], sam=colours
            )

    def test_masks_of_images_are_found_by_their_names(self, here: Path, caplog: pytest.LogCaptureFixture) -> None:
        (here / "images").mkdir()
        for index in range(4):
            PIL.Image.fromarray(draw(SQUARES, index)[0]).save(here / "images" / f"{index + 1:05d}.png")
        with open_video("images") as reader:
            named = read_annotations(reader, first_mask="ann.png", later_masks=[("00003", here / "late.png")])
            assert named.later.unreached == (2,)
            with pytest.raises(AnnotationError, match=r"late\.png: is not named by its frame; name it like 00001\.png"):
                read_annotations(reader, first_mask="ann.png", later_masks=[("00005", here / "late.png")])
            assert not caplog.messages
            numbered = read_annotations(reader, first_mask="ann.png", later_masks={2: here / "late.png"})
            assert numbered.later.unreached == (2,)
        assert "the mask of frame 2 is taken for that of 00003, as frames are counted from 0" in caplog.text

    def test_two_of_one_frame_and_other_names(self, here: Path, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(AnnotationError, match="frame 5 has two masks"):
            LaterMasks([(5, here / "late.png"), (5, here / "ann.png")], width=256, height=144)
        (here / "masks").mkdir()
        (here / "late.png").rename(here / "masks" / "00005.PNG")
        (here / "masks" / "00006.json").write_text("{}")
        (here / "masks" / "00007").mkdir()
        assert masks_in(here / "masks") == [("00005", here / "masks" / "00005.PNG")]
        assert "not read, as they are no mask files: 00007" in caplog.text
        (here / "empty").mkdir()
        with pytest.raises(AnnotationError, match="holds no mask"):
            masks_in(here / "empty")


class TestTargets:
    @pytest.mark.parametrize("method", METHODS)
    def test_what_is_read_is_what_was_written(self, colours: Sam, tmp_path: Path, method: str) -> None:
        tracker = first_step(colours, method)
        path = tmp_path / "t.safetensors"
        save_targets(path, tracker.targets, colours)
        before = tracker.targets.state
        tracker.step(draw(SQUARES, 1)[0])
        read = load_targets(path, colours)
        after = tracker.targets.state
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert (read.method, read.object_ids) == (method, (1, 2))
        assert read.state.keys() == before.keys()
        assert all(torch.equal(read.state[name], before[name]) for name in before)
        with safetensors.safe_open(path, framework="pt") as file:
            assert file.metadata()["model"] == "colours"

    @pytest.mark.parametrize("method", METHODS)
    def test_a_further_object_beside_them(self, colours: Sam, method: str) -> None:
        targets = first_step(colours, method).targets
        squares = [*SQUARES, Square(3, BLUE, left=100, top=16)]
        tracker = Tracker(colours, targets=targets)
        image, truth = draw(squares, 0)
        tracker.step(image, label_map=np.where(truth == 3, 3, 0))
        for index in range(1, 4):
            image, truth = draw(squares, index)
            result = tracker.step(image)
            assert all(region_similarity(result.mask(i), truth == i) > 0.8 for i in (1, 2, 3)), index

    def test_one_that_has_a_mask_is_named(
        self, here: Path, colours: Sam, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        with open_run("clip.mp4", "ann.png", targets=first_step(colours).targets, sam=colours) as run:
            assert run.object_ids == (1, 2)
        assert "object 1 of the saved targets is replaced by that of the first frame's mask" in caplog.text

    def test_of_another_model(self, colours: Sam, tmp_path: Path) -> None:
        path = tmp_path / "t.safetensors"
        save_targets(path, first_step(colours).targets, colours)
        other = ColourSam()
        other.options.model = "greys"
        with pytest.raises(InputError, match="its targets are of model colours, not greys; track with that"):
            load_targets(path, cast(Sam, other))

    def test_a_file_of_something_else(self, colours: Sam, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, tmp_path / "t.safetensors")
        with pytest.raises(InputError, match="holds no targets"):
            load_targets(tmp_path / "t.safetensors", colours)
