"""COCO annotations as programs write them: formats, run lengths, the image of a frame, and what can be wrong."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from persam_video.errors import AnnotationError
from persam_video.files.json_file import read_json
from persam_video.inputs.coco import CocoAnnotations, read_coco
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.inputs.run_lengths import decompressed, mask_of_runs

WIDTH, HEIGHT = 200, 100
BOX = [[10, 20, 40, 20, 40, 60, 10, 60]]
OTHER = [[100, 20, 140, 20, 140, 60, 100, 60]]


def polygon(x: int) -> list[list[int]]:
    return [[x, 20, x + 5, 20, x + 5, 60, x, 60]]


def read(tmp_path: Path, content: Any, name: str = "00000", **options: Any) -> CocoAnnotations:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_coco(path, name, width=WIDTH, height=HEIGHT, **options)


def refused(tmp_path: Path, content: Any, name: str = "00000", **options: Any) -> str:
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path, content, name, **options)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c.json'}: ")
    assert "\n" not in message and len(message) < 500 + len(str(tmp_path))
    return message


def coco(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    return {"images": [{"id": 1, "file_name": "a.jpg", **image}], "annotations": list(annotations)}


def compressed(runs: Sequence[int]) -> str:
    """Run lengths in COCO's compressed form."""
    text = ""
    for place, run in enumerate(runs):
        number = run - runs[place - 2] if place > 2 else run
        while True:
            bits, number = number & 31, number >> 5
            is_last = number == (-1 if bits & 16 else 0)
            text += chr(48 + (bits if is_last else bits | 32))
            if is_last:
                break
    return text


def runs_of(mask: npt.NDArray[np.bool_]) -> list[int]:
    values = mask.T.ravel()
    changes = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff([0, *changes, values.size]).tolist()
    return [0, *runs] if values[0] else runs


def random_masks() -> list[npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    masks = [rng.random((HEIGHT, WIDTH)) < share for share in (0.001, 0.1, 0.5, 0.999)]
    block = np.zeros((HEIGHT, WIDTH), bool)
    block[30:70, 20:150] = True
    return [*masks, block, ~block, np.ones_like(block)]


class TestRunLengths:
    @pytest.mark.parametrize("mask", random_masks())
    def test_are_the_mask(self, mask: npt.NDArray[np.bool_]) -> None:
        runs = runs_of(mask)
        assert decompressed(compressed(runs)) == runs
        for counts in (runs, compressed(runs)):
            for size in ({}, {"size": [HEIGHT, WIDTH]}, {"size": ["100", 200.0]}):
                assert np.array_equal(mask_of_runs({"counts": counts, **size}, width=WIDTH, height=HEIGHT), mask)

    @pytest.mark.parametrize("mask", random_masks())
    def test_agree_with_pycocotools(self, mask: npt.NDArray[np.bool_]) -> None:
        coco_mask = pytest.importorskip("pycocotools.mask")
        counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        assert np.array_equal(mask_of_runs({"counts": counts}, width=WIDTH, height=HEIGHT), mask)
        assert compressed(runs_of(mask)) == counts

    @pytest.mark.parametrize(
        ("segmentation", "text"),
        [
            ({"counts": [5]}, "run lengths of 5 pixels, not 20000"),
            ({"counts": [WIDTH * HEIGHT + 1, -1]}, "a negative run length, -1"),
            ({"counts": [10**18]}, "run lengths of 1000000000000000000 pixels"),
            ({"counts": [float("nan"), 5]}, "nan where there should be a whole number"),
            ({"counts": [1.5]}, "1.5 where there should be"),
            ({"counts": [True, 5]}, "True where there should be"),
            ({"counts": [None]}, "None where there should be"),
            ({"counts": [[5]]}, r"\[5\] where there should be"),
            ({"counts": ["x"]}, "x where there should be"),
            ({"counts": None}, "counts that are None"),
            ({"counts": {}}, "counts that are {}"),
            ({"counts": "a\u00e9b"}, "compressed run lengths that are damaged"),
            ({"counts": "o" * 20}, "compressed run lengths that are damaged"),
            ({"counts": "abc"}, "compressed run lengths that are cut short"),
            ({"counts": ""}, "run lengths of 0 pixels"),
            ({"counts": [WIDTH * HEIGHT], "size": [WIDTH, HEIGHT]}, r"of the size \[200, 100\], not \[100, 200\]"),
            ({"counts": [WIDTH * HEIGHT], "size": 5}, "of the size 5"),
            ({"counts": [WIDTH * HEIGHT], "size": [None, 1]}, "None where there should be"),
            ({"size": [HEIGHT, WIDTH]}, "counts that are None"),
        ],
    )
    def test_that_are_wrong(self, tmp_path: Path, segmentation: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            mask_of_runs(segmentation, width=WIDTH, height=HEIGHT)
        assert "(object 1: " in refused(tmp_path, coco({"image_id": 1, "segmentation": segmentation}))


class TestFormats:
    def test_results_list(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        mask = random_masks()[4]
        rle = {"size": [HEIGHT, WIDTH], "counts": compressed(runs_of(mask))}
        of_sam = [{"segmentation": rle, "bbox": [20, 30, 130, 40], "predicted_iou": 0.9}]
        results = [{"image_id": 7, "category_id": 1, "segmentation": rle, "score": 0.5}]
        for content in (of_sam, results):
            assert np.array_equal(read(tmp_path, content).label_map == 1, mask)
        results.append({"image_id": 8, "category_id": 1, "segmentation": BOX, "score": 0.5})
        assert "holds no image 00000; it holds 7, 8: choose one with coco_image" in refused(tmp_path, results)
        assert np.array_equal(read(tmp_path, results, image=7).label_map == 1, mask)
        assert not caplog.messages

    def test_sa1b(self, tmp_path: Path) -> None:
        image = {"image_id": 5, "width": WIDTH, "height": HEIGHT, "file_name": "sa_5.jpg"}
        found = read(
            tmp_path, {"image": image, "annotations": [{"id": 9, "segmentation": BOX}, {"segmentation": OTHER}]}
        )
        assert set(np.unique(found.label_map)) == {0, 1, 2}
        image["width"] = 5
        message = refused(tmp_path, {"image": image, "annotations": [{"segmentation": BOX}]})
        assert "its image is 5×100, the video's first frame 200×100" in message

    def youtube_vis(self) -> dict[str, Any]:
        names = [f"b/{number:05d}.jpg" for number in (0, 5, 10)]
        return {
            "videos": [
                {"id": 1, "file_names": ["a/00000.jpg"], "width": 9, "height": 9},
                {"id": 2, "file_names": names, "width": WIDTH, "height": HEIGHT, "length": 3},
            ],
            "categories": [{"id": 3, "name": "dog"}, {"id": 4, "name": "cat"}],
            "annotations": [
                {"id": 1, "video_id": 1, "category_id": 3, "segmentations": [BOX], "bboxes": [None]},
                {"id": 2, "video_id": 2, "category_id": 4, "segmentations": [None, OTHER, None], "bboxes": [None] * 3},
                {"id": 3, "video_id": 2, "category_id": 3, "segmentations": [BOX, BOX, None], "bboxes": [None] * 3},
                {"id": 4, "video_id": 2, "segmentations": [None] * 3, "bboxes": [[1, 2, 3, 4], None, None]},
            ],
        }

    def test_youtube_vis(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = self.youtube_vis()
        found = read(tmp_path, content, video_name="b")
        assert (found.label_map[30, 20], found.label_map[30, 120]) == (1, 0)
        assert found.prompts == (ObjectPrompt(2, (1, 2, 4, 6)),)
        assert found.names == {1: "dog"}
        (message,) = caplog.messages
        assert "1 object of other images than b/00000.jpg had no effect; give their masks with later_masks" in message
        caplog.clear()
        second = read(tmp_path, content, "00005", video_name="b")
        assert (second.label_map[30, 20], second.label_map[30, 120], second.names) == (2, 1, {1: "cat", 2: "dog"})
        assert read(tmp_path, content, image="b/00005.jpg").names == {1: "cat", 2: "dog"}
        assert "holds no image 00000; it holds a/00000.jpg, b/00000.jpg" in refused(tmp_path, content)
        assert "holds no annotation of b/00010.jpg" in refused(tmp_path, content, "00010", video_name="b")

    def test_youtube_vis_without_names(self, tmp_path: Path) -> None:
        annotation = {"video_id": 2, "segmentations": [BOX, OTHER]}
        for content in ({"videos": [{"id": 2, "length": 2}], "annotations": [annotation]}, [annotation]):
            assert read(tmp_path, content, "00001").label_map[30, 120] == 1
        for length in (-1, 10**9, None, "x"):
            refused(tmp_path, {"videos": [{"id": 2, "length": length}], "annotations": [annotation]})

    def test_ids_and_sizes_as_text(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for image_id, key in (("1", 1), (1, "1"), (1.0, 1), (None, None), (1, None), (None, 1)):
            content = coco({"image_id": image_id, "segmentation": BOX})
            content["images"][0] |= {"id": key, "width": "200", "height": "100"}
            assert read(tmp_path, content).label_map[30, 20] == 1
        content["images"][0] |= {"width": None}
        assert read(tmp_path, content).label_map[30, 20] == 1
        assert not caplog.messages

    def test_names_of_categories(self, tmp_path: Path) -> None:
        content = coco(
            {"image_id": 1, "category_id": 2, "segmentation": BOX},
            {"image_id": 1, "category_id": "9", "bbox": [1, 1, 5, 5]},
            {"image_id": 1, "segmentation": OTHER},
        )
        assert read(tmp_path, content).names == {}
        content["categories"] = [{"id": 2, "name": "dog"}, {"id": 9, "name": "cat"}, {"id": 10}]
        assert read(tmp_path, content).names == {1: "dog", 2: "cat"}
        label_map, prompts = read(tmp_path, content)
        assert set(np.unique(label_map)) == {0, 1, 3} and len(prompts) == 1

    def test_annotations_of_other_images(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = coco({"image_id": 1, "segmentation": BOX}, {"image_id": 2, "segmentation": OTHER})
        assert read(tmp_path, content).label_map.max() == 1
        assert "1 annotation of images that it does not hold had no effect" in caplog.text

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "c.json"
        content = coco({"image_id": 1, "category_id": 1, "segmentation": BOX})
        content["categories"] = [{"id": 1, "name": "Füchse"}]
        path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
        assert read_coco(path, "", width=WIDTH, height=HEIGHT).names == {1: "Füchse"}


def video(*names: str) -> dict[str, Any]:
    """A file of images with these names; the object of each lies further right than that of the one before."""
    images = [{"id": 50 + i, "file_name": name} for i, name in enumerate(names)]
    annotations = [{"image_id": 50 + i, "segmentation": polygon(10 * i)} for i in range(len(names))]
    return {"images": images, "annotations": annotations}


def image_of(found: CocoAnnotations) -> int:
    """Index of the image among those of `video`."""
    return int(np.nonzero(found.label_map)[1].min()) // 10


CVAT = [f"frame_{i:06d}.PNG" for i in range(8)]
ROBOFLOW = [f"bmx_mp4-{i:04d}_jpg.rf.{i:032x}.jpg" for i in (3, 0, 2, 1)]
LABEL_STUDIO = [f"images\\{i * 987654321 % 16**8:08x}-frame_{i:05d}.jpg" for i in range(5)]
COUNTED_FROM_1 = [f"clip_v2_{i}.jpg" for i in range(1, 9)]


class TestImageOfAFrame:
    @pytest.mark.parametrize(
        ("names", "frame", "expected", "warning"),
        [
            (CVAT, "00000", 0, None),
            (CVAT, "00005", 5, "frame_000005.PNG is taken for frame 5, by its number"),
            (ROBOFLOW, "00000", 1, None),
            (ROBOFLOW, "00002", 2, "is taken for frame 2, by its number"),
            (ROBOFLOW, "bmx_mp4-0003", 0, None),
            (LABEL_STUDIO, "00000", 0, None),
            (LABEL_STUDIO, "frame_00003", 3, None),
            (COUNTED_FROM_1, "00000", 0, "is taken for frame 0, as the images are counted from 1"),
            (["x/00000.jpg", "bmx/00000.jpg"], "00000", 1, None),
            (["a_0.jpg", "bmx_0.jpg", "bmx_1.jpg"], "00001", 2, "by its number"),
            (["IMG_7.JPG", "img_9.jpg"], "IMG_9.jpg", 1, None),
            (["only.jpg"], "00000", 0, None),
        ],
    )
    def test_is_found(
        self,
        tmp_path: Path,
        names: list[str],
        frame: str,
        expected: int,
        warning: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assert image_of(read(tmp_path, video(*names), frame, video_name="bmx")) == expected
        assert [warning in message for message in caplog.messages if warning] == [True] * len(caplog.messages)
        assert len(caplog.messages) == (warning is not None)

    def test_by_the_order_of_a_whole_video(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        names = video("one.jpg", "two.jpg", "three.jpg")
        assert image_of(read(tmp_path, names, "00001", frame_count=3)) == 1
        assert "two.jpg is taken for frame 1, in the order of the file" in caplog.text
        counted = video(*COUNTED_FROM_1)
        assert image_of(read(tmp_path, counted, "00003", frame_count=8)) == 3

    def test_of_a_video_that_are_counted_from_1(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        names = video(*[f"{i:05d}.jpg" for i in range(1, 7)])
        for index in (0, 1, 5):
            found = read(tmp_path, names, f"{index:05d}", frame_index=index, frame_count=6, is_named=False)
            assert image_of(found) == index
            assert f"{index + 1:05d}.jpg is taken for frame {index}, as the images are counted from 1" in caplog.text
        assert image_of(read(tmp_path, names, "00003", frame_index=2, frame_count=6, is_named=True)) == 2
        assert "choose one" in refused(tmp_path, names, "00003", frame_index=3, frame_count=None, is_named=False)

    def test_an_unusable_annotation_of_another_image_is_left_alone(self, tmp_path: Path) -> None:
        content = video("a_0.jpg", "a_1.jpg")
        content["annotations"].append({"image_id": content["images"][1]["id"], "keypoints": [1, 2, 2]})
        assert image_of(read(tmp_path, content, "00000", frame_index=0)) == 0
        content["annotations"] = [
            each for each in content["annotations"] if each["image_id"] != content["images"][0]["id"]
        ]
        assert "holds some of a_1.jpg: choose one with coco_image" in refused(tmp_path, content, "00000", frame_index=0)

    def test_a_folder_whose_files_are_counted_from_1(self, tmp_path: Path) -> None:
        names = video(*[f"frame_{i:06d}.PNG" for i in range(1, 9)])
        assert image_of(read(tmp_path, names, "00004", frame_index=3, frame_count=8)) == 3

    @pytest.mark.parametrize(
        ("names", "frame"),
        [
            (["one.jpg", "two.jpg"], "00000"),
            (CVAT, "00020"),
            (COUNTED_FROM_1, "00003"),  # which may be the third or the fourth
            (["a_0.jpg", "b_0.jpg"], "00000"),
            ([f"frame_{i}.jpg" for i in (10, 20)], "00000"),
        ],
    )
    def test_is_asked_for(self, tmp_path: Path, names: list[str], frame: str) -> None:
        message = refused(tmp_path, video(*names), frame)
        assert f"holds no image {frame}; it holds {names[0]}, {names[1]}" in message
        assert message.endswith(": choose one with coco_image")

    @pytest.mark.parametrize("chosen", ["frame_000003.PNG", "frame_000003", "53", 53])
    def test_is_chosen(self, tmp_path: Path, chosen: str | int) -> None:
        assert image_of(read(tmp_path, video(*CVAT), "00000", image=chosen)) == 3

    def test_chosen_that_is_not_there(self, tmp_path: Path) -> None:
        message = refused(tmp_path, video(*CVAT), image="frame_9")
        assert "holds no image of coco_image='frame_9'; it holds frame_000000.PNG, " in message
        assert "holds 2 images 0.jpg: a/0.jpg, b/0.jpg; give the" in refused(
            tmp_path, video("a/0.jpg", "b/0.jpg"), image="0.jpg"
        )

    def test_several_of_one_id(self, tmp_path: Path) -> None:
        content = video(*CVAT)
        content["images"][3]["id"] = 50
        assert "several of its images have the id of frame_000000.PNG; give each its own" in refused(tmp_path, content)
        assert image_of(read(tmp_path, content, "00005")) == 5

    def test_tracks_that_appear_later(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = video(*CVAT)
        for track, each in enumerate(content["annotations"]):
            each["attributes"] = {"track_id": track // 4}
        read(tmp_path, content)
        assert "1 object of other images than frame_000000.PNG had no effect" in caplog.text


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (float("nan"), "not finite, nan"),
            (float("inf"), "not finite, inf"),
            (None, "no number, None"),
            (1e9, "beyond any image, 1000000000.0"),
            (10**400, "beyond any image, a number of more than 40 digits"),
            ("5", "no number, 5"),
            (True, "no number, True"),
            ([5], r"no number, [5]"),
            ({}, "no number, {}"),
        ],
    )
    def test_numbers(self, tmp_path: Path, value: Any, text: str) -> None:
        for annotation in (
            {"segmentation": [[10, 10, value, 10, 60, 60]], "bbox": [10, 10, 50, 50]},
            {"bbox": [10, value, 50, 50]},
            {"bbox": [10, 10, 50, value]},
        ):
            message = refused(tmp_path, coco({"image_id": 1, **annotation}))
            assert f"is not in COCO's format (object 1: a coordinate that is {text}" in message

    @pytest.mark.parametrize(
        ("annotation", "text"),
        [
            ({"bbox": [10, 10, -5, 5]}, "object 1: a bbox of the size -5×5"),
            ({"bbox": [10, 10, 5, 0]}, "object 1: a bbox of the size 5×0"),
            ({"bbox": [10, 10, 5]}, "object 1: a bbox of 3 numbers"),
            ({"bbox": 5}, "object 1: 5 where there should be a bbox"),
            ({"bbox": "[1, 2, 3, 4]"}, "where there should be a bbox"),
            ({"segmentation": [[10, 10, 60, 10, 60]]}, "object 1: a polygon of 5 numbers, which is odd"),
            ({"segmentation": [10, 10, 60, 10, 60, 60]}, "object 1: 10 where there should be a polygon"),
            ({"segmentation": [[[10, 10], [60, 10], [60, 60]]]}, "a coordinate that is no number, [10, 10]"),
            ({"segmentation": "abc"}, "abc where there should be polygons"),
            ({"segmentation": 7}, "7 where there should be polygons"),
            ({"segmentation": [[]]}, "it has neither a bbox nor a polygon of 3 points"),
            ({"segmentation": [[1, 2, 3, 4]]}, "it has neither a bbox nor a polygon of 3 points"),
            ({"segmentation": []}, "it has neither a bbox nor a polygon of 3 points"),
            ({"segmentation": [[1000, 1000, 1100, 1000, 1100, 1100]]}, "object 1 lies outside the image, 200×100"),
            ({"segmentation": [[-50, 0, -20, 0, -20, 50]]}, "object 1 lies outside the image, 200×100"),
            ({"segmentation": {"counts": [WIDTH * HEIGHT]}}, "object 1 has an empty mask"),
            ({"image_id": True, "bbox": [1, 1, 5, 5]}, "True where there should be a whole number"),
            ({"image_id": [1], "bbox": [1, 1, 5, 5]}, "[1] where there should be a whole number"),
        ],
    )
    def test_annotations(self, tmp_path: Path, annotation: dict[str, Any], text: str) -> None:
        assert text in refused(tmp_path, coco({"image_id": 1, **annotation}))

    @pytest.mark.parametrize(
        "content",
        [
            None,
            5,
            "text",
            [],
            [5],
            [[]],
            {},
            {"images": None, "annotations": []},
            {"images": {}, "annotations": []},
            {"images": [None], "annotations": [{"bbox": [1, 2, 3, 4]}]},
            {"images": [{"id": {}}], "annotations": [{"bbox": [1, 2, 3, 4]}]},
            {"images": [{"id": 1, "width": [], "height": 5}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]},
            {"images": [{"id": 1}, {"id": 2}], "annotations": [{"bbox": [1, 2, 3, 4]}]},
            {"images": [{"id": 1}], "annotations": 5},
            {"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}], "categories": 5},
            {"image": 5, "annotations": []},
            {"videos": [{"file_names": [5]}], "annotations": []},
            {"videos": 5, "annotations": []},
            {"videos": [{"file_names": ["a"]}], "annotations": [{"video_id": 1, "segmentations": 5}]},
        ],
    )
    def test_other_contents(self, tmp_path: Path, content: Any) -> None:
        assert "is not in COCO's format (" in refused(tmp_path, content)

    def test_polygons_without_an_area(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        whole = read(tmp_path, coco({"image_id": 1, "segmentation": BOX})).label_map
        for useless in ([], [5, 5], [5, 5, 9, 9]):
            found = read(tmp_path, coco({"image_id": 1, "segmentation": [useless, *BOX], "bbox": [1, 2, 3, 4]}))
            assert np.array_equal(found.label_map, whole) and not found.prompts
            assert "object 1 has a polygon of fewer than 3 points; the others are used" in caplog.messages[-1]
            found = read(tmp_path, coco({"image_id": 1, "segmentation": [useless], "bbox": [1, 2, 3, 4]}))
            assert found.prompts == (ObjectPrompt(1, (1, 2, 4, 6)),)
            assert "object 1 has a polygon of fewer than 3 points; its bbox is used" in caplog.messages[-1]

    def test_an_object_wholly_under_another(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = coco(
            {"image_id": 1, "segmentation": polygon(20), "category_id": 1}, {"image_id": 1, "segmentation": BOX}
        )
        content["categories"] = [{"id": 1, "name": "tie"}]
        found = read(tmp_path, content)
        assert set(np.unique(found.label_map)) == {0, 2} and found.names == {}
        assert caplog.record_tuples[-1][1] == logging.WARNING
        assert "object 1 lies wholly under later ones, and is not tracked" in caplog.text

    def test_partly_outside(self, tmp_path: Path) -> None:
        mask = read(
            tmp_path, coco({"image_id": 1, "segmentation": [[-9e5, 50, 100, 50, 100, 9e5, -9e5, 9e5]]})
        ).label_map
        assert mask[60:, :99].all() and not mask[:49].any() and not mask[:, 101:].any()

    def test_too_many(self, tmp_path: Path) -> None:
        assert "255 annotations; 254 objects at most" in refused(
            tmp_path, coco(*[{"image_id": 1, "bbox": [1, 2, 3, 4]}] * 255)
        )


class TestJsonFiles:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b'{"1":', "cannot be read as JSON"),
            (b"", "cannot be read as JSON"),
            (b"\xff\xfe\x00", "cannot be read as JSON"),
            (b'{"a": "\xe9"}', "cannot be read as JSON"),
            (b"[" * 200_000, "nested too deep"),
            (b'{"a":' * 200_000, "nested too deep"),
            (b"9" * 5000, "cannot be read as JSON"),
            (b'{"a": {"b": 1, "c": 2, "b": 3}}', "the key b occurs twice in one object"),
            (b'{"' + b"x" * 9000 + b'": 1, "' + b"x" * 9000 + b'": 2}', "the key xxxx"),
        ],
    )
    def test_damaged(self, tmp_path: Path, content: bytes, text: str) -> None:
        path = tmp_path / "c.json"
        path.write_bytes(content)
        with pytest.raises(AnnotationError) as caught:
            read_json(path, AnnotationError)
        assert text in str(caught.value) and len(str(caught.value)) < 400 + len(str(path))

    def test_no_regular_file(self, tmp_path: Path) -> None:
        fifo, link = tmp_path / "fifo.json", tmp_path / "link.json"
        os.mkfifo(fifo)
        link.symlink_to("nowhere.json")
        for path, text in (
            (fifo, "is a FIFO; give a JSON file"),
            (link, "is a link to a file that does not exist"),
            (tmp_path, "is a folder; give a JSON file"),
            (tmp_path / "none.json", "no such file; it should be a JSON file"),
            (fifo / "below", "no such file"),
            (Path("/dev/null"), "is a device or socket"),
            (tmp_path / ("x" * 300), "cannot be read"),
            ("a\0b", "cannot be read"),
            ("", "the name of a file is empty"),
        ):
            with pytest.raises(AnnotationError, match=text):
                read_json(path, AnnotationError)

    @pytest.mark.parametrize("path", [None, 5, b"c.json", ["c.json"]])
    def test_no_name(self, path: Any) -> None:
        with pytest.raises(AnnotationError, match=f"a value of the type {type(path).__name__} is given as a JSON file"):
            read_json(path, AnnotationError)

    def test_numbers_of_python(self, tmp_path: Path) -> None:
        (tmp_path / "c.json").write_text('{"a": NaN, "b": [1.5, -Infinity]}')
        assert str(read_json(tmp_path / "c.json", AnnotationError)) == "{'a': nan, 'b': [1.5, -inf]}"
