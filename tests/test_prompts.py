"""Boxes, points and COCO annotations: read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from persam_video.errors import AnnotationError
from persam_video.inputs.coco import read_coco
from persam_video.inputs.prompts import ObjectPrompt, check_prompts, read_prompts

SIZE = {"width": 200, "height": 100}


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class TestCheck:
    def test_several_prompts_of_one_object_are_merged(self) -> None:
        prompts = check_prompts(
            [
                ObjectPrompt(7, points=((5, 6, True),)),
                ObjectPrompt(2, box=(1, 2, 3, 4)),
                ObjectPrompt(7, box=(0, 0, 10, 10), points=((8, 9, False),)),
            ],
            **SIZE,
        )
        assert prompts == (
            ObjectPrompt(2, box=(1, 2, 3, 4)),
            ObjectPrompt(7, box=(0, 0, 10, 10), points=((5, 6, True), (8, 9, False))),
        )

    @pytest.mark.parametrize(
        "prompt",
        [
            ObjectPrompt(np.int64(3), box=np.array([1, 2, 30.5, 40]), points=np.array([[5, 6], [7, 8]])),  # type: ignore[arg-type]
            ObjectPrompt(3, box=torch.tensor([1, 2, 30.5, 40]), points=[[5, 6, True], (7, 8, 1)]),  # type: ignore[arg-type]
            ObjectPrompt(3, [np.float32(1), 2, 30.5, np.int8(40)], [(5, 6), np.array([7, 8, 1.0])]),  # type: ignore[arg-type]
            ObjectPrompt(3, tuple(torch.tensor([1, 2, 30.5, 40])), ((5, 6, np.True_), (7, 8, "+"))),  # type: ignore[arg-type]
        ],
    )
    def test_numbers_of_other_kinds(self, prompt: ObjectPrompt) -> None:
        (checked,) = check_prompts([prompt], **SIZE)
        assert checked == ObjectPrompt(3, (1.0, 2.0, 30.5, 40.0), ((5.0, 6.0, True), (7.0, 8.0, True)))
        assert {type(value) for value in (*(checked.box or ()), checked.points[0][0])} == {float}
        assert type(checked.object_id) is int and type(checked.points[0][2]) is bool

    @pytest.mark.parametrize(
        ("prompt", "message"),
        [
            (ObjectPrompt("1"), "object 1: an object's id must be from 1 to 254"),  # type: ignore[arg-type]
            (ObjectPrompt(1.0), "object 1.0: an object's id"),  # type: ignore[arg-type]
            (ObjectPrompt(True), "object True: an object's id"),
            (ObjectPrompt(None), "object None: an object's id"),  # type: ignore[arg-type]
            (ObjectPrompt(np.array([1, 2])), "an object's id must be"),  # type: ignore[arg-type]
            (ObjectPrompt(10**5000), "object a number of more than 40 digits: an object's id"),
            (ObjectPrompt(1, box=(1, 2, 3, 1e9)), "object 1: .* a coordinate that is beyond any image, 1000000000.0"),
            (ObjectPrompt(1, box=(1, 2, 3, 10**5000)), "beyond any image, a number of more than 40 digits"),
            (ObjectPrompt(1, box=(1, 2, 3, "4")), "object 1: .* a coordinate that is no number, 4"),  # type: ignore[arg-type]
            (ObjectPrompt(1, box=(1, 2, 3, None)), "a coordinate that is no number, None"),  # type: ignore[arg-type]
            (ObjectPrompt(1, box=(1, 2, 3, True)), "a coordinate that is no number, True"),
            (ObjectPrompt(1, box=(1, 2, 3)), "3 numbers where a box has 4"),  # type: ignore[arg-type]
            (ObjectPrompt(1, box=5), "5 where there should be a box"),  # type: ignore[arg-type]
            (ObjectPrompt(1, points=((1, 2, "x"),)), r"the form \(1, 2, 'x'\); a point is \[x, y\]"),  # type: ignore[arg-type]
            (ObjectPrompt(1, points=(1, 2, True)), "1 where there should be a point"),  # type: ignore[arg-type]
            ((1, (1, 2, 3, 4)), "a prompt is of the type tuple; give an ObjectPrompt"),
        ],
    )
    def test_values_of_wrong_types(self, prompt: Any, message: str) -> None:
        with pytest.raises(AnnotationError, match=message):
            check_prompts([prompt], **SIZE)

    @pytest.mark.parametrize(
        ("prompts", "message"),
        [
            ([ObjectPrompt(0, box=(1, 2, 3, 4))], "object 0: an object's id must be from 1 to 254"),
            ([ObjectPrompt(255, box=(1, 2, 3, 4))], "object 255: an object's id"),
            ([ObjectPrompt(1, box=(3, 2, 3, 4))], "object 1: the box 3 2 3 4 is empty; give X0 Y0 X1 Y1"),
            ([ObjectPrompt(1, box=(1, 100, 3, 104))], "object 1: the box 1 100 3 104 is outside the image, 200×100"),
            (
                [ObjectPrompt(1, box=(float("nan"), 2, 3, 4))],
                "object 1: its box or a point has a coordinate that is not finite",
            ),
            ([ObjectPrompt(1, points=((201, 5, True),))], "object 1: the point 201 5 is outside the image, 200×100"),
            ([ObjectPrompt(1, points=((20, 5, False),))], "object 1: has neither a box nor a point on it"),
            ([ObjectPrompt(1, box=(1, 2, 3, 4))] * 2, "object 1: has two boxes; give one"),
        ],
    )
    def test_invalid_prompts(self, prompts: list[ObjectPrompt], message: str) -> None:
        with pytest.raises(AnnotationError, match=message):
            check_prompts(prompts, **SIZE)


class TestJson:
    def test_boxes_and_points(self, tmp_path: Path) -> None:
        content = {"3": {"box": [1, 2, 30.5, 40]}, "1": {"points": [[5, 6], [7, 8, "-"], [9, 10, "+"]]}}
        assert read_prompts(save(tmp_path / "p.json", content)) == (
            ObjectPrompt(3, box=(1, 2, 30.5, 40)),
            ObjectPrompt(1, points=((5, 6, True), (7, 8, False), (9, 10, True))),
        )

    @pytest.mark.parametrize(
        "content",
        [
            [1, 2],
            {"a": {}},
            {"1": {"box": [1, 2, 3]}},
            {"1": {"boxes": []}},
            {"1": {"points": [[1]]}},
            {"1": {"points": [[1, 2, "?"]]}},
            {"1": 5},
            {"1": None},
            {"1": [5]},
            {"1": {"box": {}}},
            {"1": {"box": "1 2 3 4"}},
            {"1": {"box": [1, 2, 3, "4"]}},
            {"1": {"box": [1, 2, 3, None]}},
            {"1": {"box": [1, 2, 3, True]}},
            {"1": {"box": [1, 2, 3, [4]]}},
            {"1": {"box": [1, 2, 3, float("nan")]}},
            {"1": {"box": [1, 2, 3, 10**400]}},
            {"1": {"points": 5}},
            {"1": {"points": [5]}},
            {"1": {"points": [[1, 2, 3, 4]]}},
            {"1": {"points": [[1, {}]]}},
            {"1": {"points": [[1, 2, []]]}},
            {"1.0": {"box": [1, 2, 3, 4]}},
            {" 1": {"box": [1, 2, 3, 4]}},
            {"01": {"box": [1, 2, 3, 4]}},
            {"1_0": {"box": [1, 2, 3, 4]}},
            {"٣": {"box": [1, 2, 3, 4]}},
            {"": {"box": [1, 2, 3, 4]}},
            {"9" * 5000: {"box": [1, 2, 3, 4]}},
            {"1": {"x" * 5000: 1}},
            [["1", {"box": [1, 2, 3, 4]}]],
            None,
            "text",
        ],
    )
    def test_other_formats(self, tmp_path: Path, content: Any) -> None:
        with pytest.raises(
            AnnotationError, match=r"p\.json: is not in the format of boxes and points .* it should hold"
        ) as caught:
            read_prompts(save(tmp_path / "p.json", content))
        assert len(str(caught.value)) < 400 + len(str(tmp_path))

    def test_nothing_of_one_kind(self, tmp_path: Path) -> None:
        content = {"3": {"box": None, "points": [[5, 6]]}, "4": {"box": [1, 2, 3, 4], "points": None}}
        expected = (ObjectPrompt(3, points=((5, 6, True),)), ObjectPrompt(4, box=(1, 2, 3, 4)))
        assert read_prompts(save(tmp_path / "p.json", content)) == expected

    def test_the_same_object_twice(self, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text('{"1": {"box": [1, 2, 3, 4]}, "1": {"box": [5, 6, 7, 8]}}')
        with pytest.raises(AnnotationError, match="the key 1 occurs twice in one object"):
            read_prompts(tmp_path / "p.json")

    def test_files_that_are_not_json(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match=r"none\.json: no such file"):
            read_prompts(tmp_path / "none.json")
        (tmp_path / "truncated.json").write_text('{"1":')
        with pytest.raises(AnnotationError, match=r"truncated\.json: cannot be read as JSON"):
            read_prompts(tmp_path / "truncated.json")


class TestCoco:
    def coco(self, *annotations: dict[str, Any], names: tuple[str, ...] = ("00000.jpg",)) -> dict[str, Any]:
        images = [
            {"id": 10 + i, "file_name": f"video/{name}", "width": 200, "height": 100} for i, name in enumerate(names)
        ]
        return {"images": images, "annotations": [{"image_id": 10, **each} for each in annotations]}

    def test_polygons_run_lengths_and_boxes(self, tmp_path: Path) -> None:
        counts = [100 * 50 + 20, 30, 70, 30, 200 * 100 - 100 * 50 - 150]  # rows 20 to 49 of columns 50 and 51
        content = self.coco(
            {"segmentation": [[10, 20, 40, 20, 40, 60, 10, 60]], "bbox": [10, 20, 30, 40]},
            {"segmentation": [], "bbox": [100, 10, 30, 50]},
            {"segmentation": {"counts": counts, "size": [100, 200]}, "bbox": [50, 20, 2, 30]},
        )
        label_map, prompts = read_coco(save(tmp_path / "c.json", content), "other.jpg", **SIZE)
        rows, columns = np.nonzero(label_map == 1)
        assert abs(rows.min() - 20) <= 1 and abs(rows.max() - 59) <= 1
        assert abs(columns.min() - 10) <= 1 and abs(columns.max() - 39) <= 1
        expected = np.zeros((100, 200), bool)
        expected[20:50, 50:52] = True
        assert np.array_equal(label_map == 3, expected)
        assert prompts == (ObjectPrompt(2, box=(100, 10, 130, 60)),)

    def test_image_is_found_by_its_name(self, tmp_path: Path) -> None:
        content = self.coco({"bbox": [1, 2, 3, 4]}, {"bbox": [5, 6, 7, 8]}, names=("a.jpg", "b.jpg"))
        content["annotations"][1]["image_id"] = 11
        _, prompts = read_coco(save(tmp_path / "c.json", content), "b", **SIZE)
        assert prompts == (ObjectPrompt(1, box=(5, 6, 12, 14)),)
        with pytest.raises(AnnotationError, match=r"holds no image 00000; it holds video/a\.jpg, video/b\.jpg"):
            read_coco(tmp_path / "c.json", "00000", **SIZE)

    def test_invalid_files(self, tmp_path: Path) -> None:
        path = tmp_path / "c.json"
        with pytest.raises(AnnotationError, match="its image is 200×100, the video's first frame 20×10"):
            read_coco(save(path, self.coco({"bbox": [1, 2, 3, 4]})), "a", width=20, height=10)
        with pytest.raises(AnnotationError, match=r"holds no annotation of video/00000\.jpg"):
            read_coco(save(path, self.coco()), "a", **SIZE)
        for content in ([], {"images": []}, self.coco({"bbox": [1]}), self.coco({})):
            with pytest.raises(AnnotationError, match=r"is not in COCO's format|holds no image"):
                read_coco(save(path, content), "a", **SIZE)
        compressed = {"segmentation": {"counts": "abc", "size": [100, 200]}, "bbox": [1, 2, 3, 4]}
        with pytest.raises(AnnotationError, match="compressed run lengths that are cut short"):
            read_coco(save(path, self.coco(compressed)), "a", **SIZE)
        short = {"segmentation": {"counts": [5], "size": [100, 200]}, "bbox": [1, 2, 3, 4]}
        with pytest.raises(AnnotationError, match="run lengths of 5 pixels"):
            read_coco(save(path, self.coco(short)), "a", **SIZE)
