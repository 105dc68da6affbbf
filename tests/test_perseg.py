"""PerSeg's layout, mIoU and boundary IoU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from persam_video.errors import InputError
from persam_video.evaluation.perseg import PAPER_ORDER, Score, boundary_iou, open_perseg, score, table


def rectangle(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (100, 200)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def make_dataset(root: Path, names: Iterable[str], count: int = 3) -> Path:
    for name in names:
        for kind, suffix in (("Images", "jpg"), ("Annotations", "png")):
            (root / kind / name).mkdir(parents=True)
            for number in range(count):
                (root / kind / name / f"{number:02d}.{suffix}").touch()
    return root


class TestLayout:
    def test_objects_of_table_1_come_first_in_its_order(self, tmp_path: Path) -> None:
        objects = open_perseg(make_dataset(tmp_path, ["zebra", "cat", "apple", "barn", "duck_toy"]))
        assert [each.name for each in objects] == ["barn", "cat", "duck_toy", "apple", "zebra"]
        assert [path.name for path in objects[0].images] == ["00.jpg", "01.jpg", "02.jpg"]
        assert [path.name for path in objects[0].annotations] == ["00.png", "01.png", "02.png"]
        assert len(PAPER_ORDER) == 10

    def test_errors_name_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no folder Images"):
            open_perseg(tmp_path)
        (tmp_path / "Images").mkdir()
        (tmp_path / "Annotations").mkdir()
        with pytest.raises(InputError, match="holds no folder; it should hold one for each object"):
            open_perseg(tmp_path)
        with pytest.raises(
            InputError, match="cat: holds 1 mask; it should hold the reference's and at least one other"
        ):
            open_perseg(make_dataset(tmp_path / "few", ["cat"], count=1))
        root = make_dataset(tmp_path / "missing", ["cat"])
        (root / "Images" / "cat" / "01.jpg").unlink()
        with pytest.raises(InputError, match=r"cat: holds no image 01 for the annotation .*01\.png"):
            open_perseg(root)


class TestScores:
    def test_the_iou_is_of_all_images_together(self) -> None:
        masks = [rectangle(0, 0, 10, 10), rectangle(0, 0, 10, 30)]
        truths = [rectangle(0, 0, 10, 20), rectangle(0, 0, 10, 30)]
        assert score(masks, truths).iou == pytest.approx((100 + 300) / (200 + 300))

    def test_the_boundary_iou_matches_its_definition(self) -> None:
        """Mask pixels within d of the outside, by the chessboard distance, which a square structuring element has."""
        a, b = rectangle(20, 30, 70, 120), rectangle(25, 30, 70, 130)
        d = max(1, round(0.02 * np.hypot(100, 200)))

        def near(mask: np.ndarray) -> np.ndarray:
            inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_C, 3)[1:-1, 1:-1]
            return mask & (inside <= d)

        expected = (near(a) & near(b)).sum() / (near(a) | near(b)).sum()
        assert boundary_iou(a, b) == pytest.approx(expected)
        assert 0 < expected < 1

    def test_the_image_border_is_a_boundary(self) -> None:
        assert boundary_iou(rectangle(0, 0, 100, 200), rectangle(0, 0, 100, 100)) < 0.6
        assert boundary_iou(rectangle(0, 0, 100, 200), rectangle(0, 0, 100, 200)) == 1

    def test_empty_masks(self) -> None:
        empty, mask = rectangle(0, 0, 0, 0), rectangle(0, 0, 9, 9)
        assert boundary_iou(empty, empty) == 1
        assert boundary_iou(empty, mask) == 0
        assert score([empty], [empty]) == Score(1, 1)

    def test_the_table_has_the_columns_of_table_1(self) -> None:
        lines = table({"cat": Score(0.9, 0.5), "duck_toy": Score(0.8, 0.7)}, "persam-f", 2).splitlines()
        assert lines[0].split() == ["mIoU", "bIoU", "learned", "cat", "duck_toy"]
        assert lines[1].split() == ["persam-f", "85.00", "60.00", "2", "90.0", "80.0"]
