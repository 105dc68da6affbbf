"""The tracker: ids through disappearance and return, one encode a frame, one batch for all objects."""

from __future__ import annotations

import gc
import weakref
from typing import cast

import numpy as np
import pytest
import torch
from colour_sam import BLUE, GREEN, RED, YELLOW, ColourSam, Square, draw

from persam_video import Frame, FrameResult, Sam, Tracker
from persam_video.errors import AnnotationError, InputError
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.runtime.cuda_graphs import _tensors
from persam_video.sam.object_masks import argmax_with_background

SQUARES = [
    Square(3, RED, left=8, top=16, absent=range(5, 9)),
    Square(7, GREEN, left=40, top=80),
    Square(200, BLUE, left=120, top=16, absent=range(7, 11)),
]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def track(
    squares: list[Square], frames: int, sam: ColourSam | None = None, method: str = "appearance"
) -> list[FrameResult]:
    sam = sam or ColourSam()
    image, label_map = draw(squares, 0)
    tracker = Tracker(sam, method=method)
    first = tracker.step(image, label_map=label_map)
    return [first, *(tracker.step(draw(squares, i)[0]) for i in range(1, frames))]


class TestIds:
    def test_they_never_shift_when_objects_vanish_and_return(self) -> None:
        for index, result in enumerate(track(SQUARES, 16)):
            _, truth = draw(SQUARES, index)
            assert result.object_ids == (3, 7, 200)
            for square in SQUARES:
                there = index not in square.absent
                assert result.visible[square.object_id] is there, (index, square)
                assert result.mask(square.object_id).any() == there
                assert (result.scores[square.object_id] > 0) == there
                if there:
                    assert iou(result.mask(square.object_id), truth == square.object_id) > 0.8

    def test_an_object_that_is_away_all_the_time_stays_in_the_tracker(self) -> None:
        squares = [SQUARES[1], Square(9, YELLOW, left=8, top=16, absent=range(1, 99))]
        last = track(squares, 6)[-1]
        assert last.visible == {7: True, 9: False}
        assert last.scores[9] == 0
        assert 9 not in last.label_map

    def test_no_object_at_all_is_visible(self) -> None:
        squares = [Square(1, RED, left=8, top=16, absent=range(2, 4))]
        assert [r.visible[1] for r in track(squares, 6)] == [True, True, False, False, True, True]


class TestMethods:
    def test_twins_are_told_apart_by_where_they_are(self) -> None:
        """SAM gives both the same mask; the published method then loses one."""
        twins = [Square(1, RED, left=8, top=16), Square(2, RED, left=120, top=80)]
        for index, result in enumerate(track(twins, 6)):
            _, truth = draw(twins, index)
            assert all(iou(result.mask(i), truth == i) > 0.8 for i in (1, 2)), index

    @pytest.mark.parametrize("method", ["persam-f", "persam"])
    def test_the_published_ones_follow_objects_that_stay(self, method: str) -> None:
        for index, result in enumerate(track(SQUARES, 5, method=method)):
            _, truth = draw(SQUARES, index)
            assert all(iou(result.mask(i), truth == i) > 0.8 for i in result.object_ids), index

    def test_an_unknown_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="unknown method 'xmem'; the methods are appearance, persam-f"):
            track(SQUARES, 2, method="xmem")


class TestFirstFrame:
    def test_its_result_is_the_given_mask(self) -> None:
        image, label_map = draw(SQUARES, 0)
        label_map[0, :5] = 3  # a detail that no model would find
        result = Tracker(ColourSam()).step(image, label_map=label_map)
        assert np.array_equal(result.label_map, label_map)
        assert result.scores == {3: 1.0, 7: 1.0, 200: 1.0}

    def test_ignored_pixels_are_no_object(self) -> None:
        image, label_map = draw(SQUARES, 0)
        label_map[100:, 200:] = 255
        tracker = Tracker(ColourSam())
        assert 255 not in tracker.step(image, label_map=label_map).label_map
        assert tracker.object_ids == (3, 7, 200)

    def test_there_must_be_an_object(self) -> None:
        tracker = Tracker(ColourSam())
        with pytest.raises(InputError, match="frame 0: there is no object to track; give masks with label_map"):
            tracker.step(draw(SQUARES, 0)[0])
        assert tracker.step(draw(SQUARES, 0)[0], label_map=draw(SQUARES, 0)[1]).index == 0

    def test_a_mask_may_be_bool(self) -> None:
        image, label_map = draw(SQUARES, 0)
        assert Tracker(ColourSam()).step(image, label_map=label_map == 7).object_ids == (1,)

    def test_an_object_of_one_pixel(self) -> None:
        image, label_map = draw(SQUARES, 0)
        label_map[140, 250] = 4
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        assert tracker.step(draw(SQUARES, 1)[0]).visible[7]

    @pytest.mark.parametrize(("height", "width"), [(816, 1920), (1920, 816), (100, 301)])
    def test_an_object_in_the_last_rows_and_columns(self, height: int, width: int) -> None:
        """Where the frame fills only a small part of a cell."""
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
        label_map = np.zeros((height, width), np.uint8)
        label_map[-3:, -3:] = 5
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        assert tracker.step(image).object_ids == (5,)

    def test_pictures_that_are_views_and_inference_mode(self, sam: Sam) -> None:
        """A reversed view, as of OpenCV's BGR, has negative strides; a caller may be in inference mode."""
        image, label_map = draw(SQUARES, 0)
        bgr = np.ascontiguousarray(image[..., ::-1])
        bgr.flags.writeable = False
        with torch.inference_mode():
            tracker = Tracker(sam)
            tracker.step(bgr[..., ::-1], label_map=label_map)
            assert tracker.step(bgr[..., ::-1]).visible == {3: True, 7: True, 200: True}

    def test_ignored_pixels_are_not_held_against_an_object(self) -> None:
        """Two squares of one colour, one of them ignored: the other is found all the same."""
        squares = [Square(1, RED, left=8, top=16), Square(2, RED, left=120, top=80)]
        image, label_map = draw(squares, 0)
        label_map[label_map == 2] = 255
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        assert tracker.step(draw(squares, 1)[0]).visible[1]

    @pytest.mark.parametrize(
        ("label_map", "message"),
        [
            (np.zeros((144, 256), np.uint8), "holds no object"),
            (np.ones((100, 256), np.uint8), "256×100"),
            (np.full((144, 256), 300), "300"),
        ],
    )
    def test_masks_that_cannot_be_used(self, label_map: np.ndarray, message: str) -> None:
        with pytest.raises(AnnotationError, match=message):
            Tracker(ColourSam()).step(draw(SQUARES, 0)[0], label_map=label_map)


class TestLater:
    """Objects that appear in a later frame."""

    LATE = Square(9, YELLOW, left=152, top=96, absent=range(3))

    def track(self, frames: int, sam: ColourSam | None = None) -> list[FrameResult]:
        squares = [*SQUARES, self.LATE]
        sam = sam or ColourSam()
        image, label_map = draw(squares, 0)
        tracker = Tracker(sam)
        results = [tracker.step(image, label_map=label_map)]
        for index in range(1, frames):
            image, label_map = draw(squares, index)
            results.append(tracker.step(image, label_map=label_map if index == 3 else None))
        return results

    def test_they_are_followed_from_there_on_and_the_others_go_on(self) -> None:
        for index, result in enumerate(self.track(12)):
            _, truth = draw([*SQUARES, self.LATE], index)
            assert result.object_ids == ((3, 7, 200) if index < 3 else (3, 7, 200, 9))
            for i in result.object_ids:
                assert iou(result.mask(i), truth == i) > 0.8 or not (truth == i).any(), (index, i)

    def test_their_first_mask_is_the_given_one(self) -> None:
        result = self.track(4)[-1]
        assert np.array_equal(result.mask(9), draw([self.LATE], 3)[1] == 9)
        assert result.scores[9] == 1

    def test_the_frame_is_encoded_once(self) -> None:
        sam = ColourSam()
        self.track(6, sam)
        assert sam.encoded == 6 + 2  # and the two in which objects were given once more, mirrored

    def test_an_empty_mask_is_refused_in_the_words_of_its_frame(self) -> None:
        image, label_map = draw(SQUARES, 0)
        tracker = Tracker(ColourSam())
        with pytest.raises(AnnotationError, match=r"^the first mask holds no object"):
            tracker.step(image, label_map=np.zeros_like(label_map))
        tracker.step(image, label_map=label_map)
        with pytest.raises(AnnotationError, match=r"^the mask of frame 1 holds no object"):
            tracker.step(draw(SQUARES, 1)[0], label_map=np.zeros_like(label_map))
        assert tracker.step(draw(SQUARES, 1)[0]).object_ids == (3, 7, 200)

    def test_a_correction_keeps_the_order_of_the_ids(self) -> None:
        image, label_map = draw(SQUARES, 0)
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        image, label_map = draw([*SQUARES, Square(5, YELLOW, left=152, top=96)], 1)
        corrected = tracker.step(image, label_map=np.where(np.isin(label_map, (3, 5)), label_map, 0))
        assert corrected.object_ids == tracker.object_ids == (3, 7, 200, 5)
        for index in range(2, 4):
            image, truth = draw([*SQUARES, Square(5, YELLOW, left=152, top=96)], index)
            result = tracker.step(image)
            assert result.object_ids == (3, 7, 200, 5)
            assert all(iou(result.mask(i), truth == i) > 0.8 for i in result.object_ids)
        assert sorted(tracker.targets.object_ids) == [3, 5, 7, 200]

    def test_a_mask_that_cannot_be_used_changes_nothing(self) -> None:
        image, label_map = draw(SQUARES, 0)
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        with pytest.raises(AnnotationError, match="9×9"):
            tracker.step(image, label_map=np.ones((9, 9), np.uint8))
        assert tracker.step(draw(SQUARES, 1)[0]).index == 1


class TestWork:
    def test_one_encode_a_frame_and_one_batch_for_all_objects(self) -> None:
        sam = ColourSam()
        track(SQUARES, 4, sam)
        assert sam.encoded == 4 + 1  # the first one is encoded a second time, mirrored
        assert sam.decode_batches == [3] * 5  # one decode a frame, and two to see in the first what they get wrong

    def test_persam_f_decodes_three_times_a_frame(self) -> None:
        sam = ColourSam()
        track(SQUARES, 4, sam, method="persam-f")
        assert sam.encoded == 4
        assert sam.decode_batches == [3] * (1 + 3 * 3)  # once to learn, then one decode and two refinements a frame

    def test_the_next_frames_boxes_are_those_of_what_each_object_was_given(self) -> None:
        """Of two objects that SAM gives the same mask, one gets the places; the other has no box in the next frame."""
        sam = ColourSam()
        twins = [Square(1, RED, left=8, top=16), Square(2, RED, left=120, top=80)]
        results = track(twins, 3, sam, method="persam-f")
        assert results[1].visible == {1: True, 2: False}
        decodes_a_frame = 3
        assert sam.had_box[1] == [True, True]
        assert sam.had_box[1 + decodes_a_frame] == [True, False]

    def test_a_frame_of_ones_own_keeps_its_index(self) -> None:
        image, label_map = draw(SQUARES, 0)
        tracker = Tracker(ColourSam())
        assert tracker.step(Frame(index=10, image=image, name="a"), label_map=label_map).index == 10
        assert tracker.step(Frame(index=12, image=draw(SQUARES, 1)[0], name="b")).index == 12

    def test_nothing_is_kept_of_past_frames(self) -> None:
        """All that a tracker holds after a step is as large as after the first."""

        def size(tracker: Tracker) -> int:
            known = _tensors(cast(AppearanceMethod, tracker.method)._memory)
            assert len(known) > 20
            return sum(each.numel() for each in known)

        image, label_map = draw(SQUARES, 0)
        tracker = Tracker(ColourSam())
        tracker.step(image, label_map=label_map)
        before = size(tracker)
        for index in range(1, 5):
            tracker.step(draw(SQUARES, index)[0])
        assert size(tracker) == before

    def test_what_is_not_needed_any_more_is_freed_at_once(self) -> None:
        """Python seldom looks for what refers to itself (`collect_garbage_rarely`)."""
        gc.disable()
        try:
            image, label_map = draw(SQUARES, 0)
            tracker = Tracker(ColourSam())
            tracker.step(image, label_map=label_map)
            tracker.step(image)
            method = weakref.ref(tracker.method)
            del tracker
            assert method() is None
        finally:
            gc.enable()


class TestCompose:
    def test_the_highest_positive_logit_has_the_place(self) -> None:
        logits = torch.tensor([[[1.0, -1.0, 2.0, -3.0]], [[2.0, -2.0, 1.0, 0.5]]])
        assert argmax_with_background([logits]).tolist() == [[2, 0, 1, 2]]

    def test_in_parts_it_is_the_same(self) -> None:
        logits = torch.randn(7, 5, 6)
        assert torch.equal(argmax_with_background(logits.split(3)), argmax_with_background([logits]))
