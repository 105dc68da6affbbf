"""Frames and results: boxes, crops, and representations that show shapes instead of pixels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from persam_video import Frame, FrameResult


@pytest.fixture
def result() -> FrameResult:
    """Object 2 is visible in rows 3 to 5 and columns 7 to 10; object 9 is absent."""
    image = np.arange(20 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(20, 30, 3)
    label_map = np.zeros((20, 30), np.uint8)
    label_map[3:6, 7:11] = 2
    frame = Frame(index=4, image=image, name="00004", pts=4, time_base=Fraction(1, 25))
    return FrameResult.of(frame, label_map, {2: 0.5, 9: 0.7})


def test_the_box_is_xyxy_and_excludes_its_last_row_and_column(result: FrameResult) -> None:
    assert result.box(2) == (7, 3, 11, 6)
    x0, y0, x1, y1 = result.box(2) or (0, 0, 0, 0)
    assert result.mask(2)[y0:y1, x0:x1].all()
    assert result.mask(2).sum() == (y1 - y0) * (x1 - x0)


def test_an_absent_object_has_no_box_and_no_crop(result: FrameResult) -> None:
    assert result.box(9) is None
    assert result.crop(9) is None
    assert not result.mask(9).any()


def test_the_crop_is_a_copy_of_the_image_within_the_box(result: FrameResult) -> None:
    crop = result.crop(2)
    assert crop is not None
    np.testing.assert_array_equal(crop, result.frame.image[3:6, 7:11])
    crop[:] = 0
    assert result.frame.image[3:6, 7:11].any()


def test_a_margin_ends_at_the_border_of_the_image(result: FrameResult) -> None:
    crop = result.crop(2, margin=5)
    assert crop is not None
    np.testing.assert_array_equal(crop, result.frame.image[0:11, 2:16])
    with pytest.raises(ValueError, match="margin must be 0 or more pixels, got -1"):
        result.crop(2, margin=-1)


@pytest.mark.parametrize("method", ["mask", "box", "crop"])
def test_an_unknown_object_is_named(result: FrameResult, method: str) -> None:
    with pytest.raises(KeyError, match="no object 3; the ids are 2, 9"):
        getattr(result, method)(3)


def test_representations_show_shapes(result: FrameResult) -> None:
    assert repr(result.frame) == "Frame(4, '00004', image 20×30×3 uint8, 0.160 s)"
    assert repr(result) == (
        "FrameResult(Frame(4, '00004', image 20×30×3 uint8, 0.160 s), label_map 20×30 uint8, "
        "scores {2: 0.50, 9: absent})"
    )
    assert "s)" not in repr(Frame(index=0, image=result.frame.image, name="a"))
