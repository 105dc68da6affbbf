"""Names of objects, and everywhere they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from colour_sam import GREEN, RED, ColourSam, Square, draw

from persam_video import AnnotationError, InputError, ResultsOutput, Sam, Tracker, load_targets, open_run, save_targets
from persam_video.inputs.names import check_names, parse_names, read_names

SQUARES = [Square(1, RED, left=8, top=16), Square(2, GREEN, left=20, top=80)]


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


class TestParsing:
    def test_options(self) -> None:
        assert parse_names("1=dog, 2=red ball,12=a=b") == {1: "dog", 2: "red ball", 12: "a=b"}

    @pytest.mark.parametrize("text", ["", "dog", "1=dog,,2=x", "1=a,1=b", "x=dog", "0=dog", "255=dog", "1=", "1= "])
    def test_wrong_options(self, text: str) -> None:
        with pytest.raises(AnnotationError) as raised:
            parse_names(text)
        assert "\n" not in str(raised.value)

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "names.json"
        path.write_text(json.dumps({"1": "Hündin", "3": "犬"}), encoding="utf-8")
        assert read_names(path) == check_names(path) == {1: "Hündin", 3: "犬"}
        path.write_text("[1]")
        with pytest.raises(AnnotationError, match="no names"):
            read_names(path)

    @pytest.mark.parametrize(
        "names", [{1: 5}, {1: None}, {1: "a\nb"}, {1: "x" * 101}, {1: "\x1b[31m"}, {True: "a"}, {1.5: "a"}, ["dog"], 7]
    )
    def test_wrong_values(self, names: Any) -> None:
        with pytest.raises(AnnotationError) as raised:
            check_names(names)
        assert "\n" not in str(raised.value)

    def test_numbers_of_numpy_are_ids(self) -> None:
        assert check_names({np.int64(3): "dog"}) == {3: "dog"}


class TestTracking:
    def frames(self, count: int = 4) -> list[np.ndarray]:
        return [draw(SQUARES, index)[0] for index in range(count)]

    def test_results_have_them(self, colours: Sam, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        record = ResultsOutput(tmp_path / "r.jsonl")
        masks = draw(SQUARES, 0)[1]
        with open_run(self.frames(), masks, names={1: "dog", 9: "nobody"}, outputs=[record], sam=colours) as run:
            assert [result.names for result in run] == [{1: "dog"}] * 4
        assert "9 (nobody)" in caplog.text
        lines = [json.loads(line) for line in record.path.read_text(encoding="utf-8").splitlines()]
        assert lines[0]["names"] == {"1": "dog", "9": "nobody"}
        assert lines[0]["video"]["kind"] == "frames" and lines[0]["video"]["sha256"] is None
        assert [each["name"] for each in lines[1]["objects"]] == ["dog", None]

    def test_they_are_saved_with_targets(self, colours: Sam, tmp_path: Path) -> None:
        tracker = Tracker(colours, names={1: "dog"})
        tracker.step(self.frames()[0], label_map=draw(SQUARES, 0)[1])
        save_targets(tmp_path / "t.safetensors", tracker.targets, colours)
        targets = load_targets(tmp_path / "t.safetensors", colours)
        assert targets.names == {1: "dog"}
        assert Tracker(colours, targets=targets).step(self.frames()[1]).names == {1: "dog"}
        again = Tracker(colours, targets=targets, names={1: "wolf", 2: "ball"})
        assert again.step(self.frames()[1]).names == {1: "wolf", 2: "ball"}

    def test_categories_of_coco_are_names(self, colours: Sam, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        coco = tmp_path / "coco.json"
        box = {"image_id": 1, "segmentation": [[8, 16, 40, 16, 40, 48, 8, 48]], "bbox": [8, 16, 32, 32]}
        other = {"image_id": 1, "segmentation": [[20, 80, 52, 80, 52, 112, 20, 112]], "bbox": [20, 80, 32, 32]}
        content = {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"id": 1, "category_id": 5, **box}, {"id": 2, "category_id": 6, **other}],
            "categories": [{"id": 5, "name": "dog"}, {"id": 6, "name": "two\nlines"}],
        }
        coco.write_text(json.dumps(content))
        with open_run(self.frames(1), first_coco=coco, sam=colours) as run:
            assert next(run).names == {1: "dog"}
        assert "object 2 stays without a name" in caplog.text
        with open_run(self.frames(1), first_coco=coco, names={1: "wolf"}, sam=colours) as run:
            assert next(run).names == {1: "wolf"}

    def test_wrong_names_are_refused_before_anything_is_opened(self, colours: Sam, tmp_path: Path) -> None:
        record = ResultsOutput(tmp_path / "r.jsonl")
        with pytest.raises(InputError, match="object 0"):
            open_run(self.frames(), draw(SQUARES, 0)[1], names={0: "dog"}, outputs=[record], sam=colours)
        assert list(tmp_path.iterdir()) == []
