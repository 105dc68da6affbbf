"""Windows: their place in the frame, maps and boxes moved between them, their plan, and tracking in them."""

from __future__ import annotations

import math
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from colour_sam import BLUE, GREEN, RED, ColourSam, Square, draw

from persam_video import Sam, Tracker, track
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.methods.appearance.personalise import _times_seen, training_windows
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.sam.window import Window, area_ratio, move_boxes, resample
from persam_video.tracking.window_planner import DELAY, Sighting, WindowPlanner, WindowSettings, object_thickness
from persam_video.video.writer import VideoWriter

WHOLE = Window.whole((480, 854))
PART = Window(left=100, top=60, width=400, height=200, side=640, frame_width=854, frame_height=480)
SHAPE = (480, 854)


def with_box(left: int, top: int, right: int, bottom: int, object_id: int = 1) -> np.ndarray:
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[top:bottom, left:right] = object_id
    return label_map


def contains(window: Window, left: int, top: int, right: int, bottom: int) -> bool:
    return (
        window.left <= left
        and window.top <= top
        and window.left + window.width >= right
        and window.top + window.height >= bottom
    )


class TestWindow:
    def test_a_whole_frame(self) -> None:
        assert WHOLE.is_whole
        assert not PART.is_whole
        assert WHOLE.cell_weight == pytest.approx(1, abs=2e-3)
        assert WHOLE.geometry.grid(64) == (36, 64)

    def test_a_part(self) -> None:
        assert PART.scale == 1.6
        assert PART.geometry.grid(256) == (80, 160)
        assert PART.input_pixels == pytest.approx(640 * 320)
        image = np.arange(480 * 854 * 3).reshape(480, 854, 3)
        assert np.array_equal(PART.crop(image), image[60:260, 100:500])

    def test_cells_weigh_as_much_as_they_cover(self) -> None:
        cells = [np.prod(each.geometry.grid(64)) * each.cell_weight for each in (WHOLE, PART)]
        pixels = [each.width * each.height for each in (WHOLE, PART)]
        assert cells[1] / cells[0] == pytest.approx(pixels[1] / pixels[0], rel=0.1)
        assert Window.whole((2160, 3840)).cell_weight == 1


class TestTrainingWindows:
    """Of the first frame, beside the window of the objects."""

    def test_none_beside_a_whole_frame(self) -> None:
        assert training_windows(WHOLE) == []

    def test_the_whole_frame_at_the_scale_of_the_window(self) -> None:
        window = Window(left=300, top=200, width=213, height=213, side=256, frame_width=854, frame_height=480)
        assert training_windows(window) == [WHOLE]

    @pytest.mark.parametrize("frame", [(480, 854), (2160, 3840)])
    def test_neighbours_where_that_is_too_large(self, frame: tuple[int, int]) -> None:
        window = Window(left=30, top=200, width=160, height=120, side=320, frame_width=frame[1], frame_height=frame[0])
        *neighbours, whole = training_windows(window)
        assert whole == Window.whole(frame)
        assert len({(each.left, each.top) for each in [*neighbours, window]}) == len(neighbours) + 1
        for each in neighbours:
            assert (each.width, each.height, each.side) == (160, 120, 320)
            assert contains(whole, each.left, each.top, each.left + 160, each.top + 120)
        assert sum(each.input_pixels for each in neighbours) <= 1.1 * whole.input_pixels

    def test_cells_that_are_seen_several_times_do_not_weigh_more(self) -> None:
        views = [PART, WHOLE]
        weights = [each.cell_weight / _times_seen(each, views) for each in views]
        inside = weights[1][6:17, 9:36]  # of the whole frame's cells, those well within the part
        assert inside.max() == 0.5 * WHOLE.cell_weight
        assert weights[1][0, 0] == WHOLE.cell_weight
        assert (weights[0] == PART.cell_weight / 2).all()


class TestMoved:
    """What is known in one window, in another."""

    def test_maps_keep_their_place_in_the_frame(self) -> None:
        rows, columns = WHOLE.geometry.grid(256)
        x = (torch.arange(columns) + 0.5) / columns
        maps = x.expand(1, rows, -1).float()
        moved = resample(maps, WHOLE, PART)
        assert moved.shape == (1, *PART.geometry.grid(256))
        pixels = PART.left + (torch.arange(moved.shape[2]) + 0.5) * 4 / PART.scale
        torch.testing.assert_close(moved[0, 10], pixels / 854, atol=2e-3, rtol=0)

    def test_nothing_is_known_beyond_the_old_window(self) -> None:
        maps = torch.ones(2, *PART.geometry.grid(256))
        moved = resample(maps, PART, WHOLE)
        assert moved[:, :10].max() == 0
        assert moved[:, 25, 60].min() == 1
        assert moved.sum().item() / maps.sum().item() == pytest.approx(area_ratio(PART, WHOLE), rel=0.05)

    def test_there_and_back(self) -> None:
        maps = torch.zeros(1, *PART.geometry.grid(256))
        maps[:, 20:60, 40:100] = 1
        finer = Window(left=150, top=80, width=300, height=160, side=960, frame_width=854, frame_height=480)
        back = resample(resample(maps, PART, finer), finer, PART)
        assert ((back > 0.5) != (maps > 0.5)).sum() <= 8

    def test_a_frame_of_another_size_is_as_if_stretched(self) -> None:
        maps = torch.zeros(1, *WHOLE.geometry.grid(256))
        maps[:, :, 128:] = 1
        tall = Window.whole((1708, 480))
        moved = resample(maps, WHOLE, tall)
        columns = moved.shape[2]
        assert moved[0, 100, : columns // 2 - 1].max() == 0
        assert moved[0, 100, columns // 2 + 1 :].min() == 1

    def test_boxes(self) -> None:
        boxes = torch.tensor([[119.5, 71.5, 239.5, 143.5]])  # of the pixels 100 to 200, 60 to 120
        moved = move_boxes(boxes, WHOLE, PART)
        torch.testing.assert_close(moved[0] + 0.5, torch.tensor([0, 0, 160.0, 96.0]), atol=0.3, rtol=0)
        torch.testing.assert_close(move_boxes(moved, PART, WHOLE), boxes)

    def test_flow_is_that_of_the_window(self) -> None:
        texture = np.random.default_rng(0).integers(0, 256, (60, 107, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        first, second = texture[:480, :854], np.roll(texture, 12, axis=1)[:480, :854]
        inputs = FlowInputs.of(reduced_image(first), reduced_image(second), pinned=False)
        for window in (WHOLE, PART):
            flow = inputs.in_window(window).flow
            shift = flow[0, 20:-20, 60:-20].median().item() * window.width
            assert shift == pytest.approx(-12, abs=1.5), window


def first_window(planner: WindowPlanner, label_map: np.ndarray) -> Window:
    return planner.plan(None, SHAPE, is_cut=False, given=label_map)


class TestPlanner:
    def planned(self, **constants: Any) -> WindowPlanner:
        return WindowPlanner(1024, WindowSettings(**constants))

    def test_around_the_objects(self) -> None:
        window = first_window(self.planned(), with_box(300, 200, 380, 260))
        assert contains(window, 300, 200, 380, 260)
        assert 160 <= window.width <= 190
        assert window.width / window.height == pytest.approx(160 / 120, rel=0.01)
        assert window.scale <= WindowSettings().max_scale * 1.01
        assert window.side % 64 == 0

    def test_at_the_border_of_the_frame(self) -> None:
        window = first_window(self.planned(), with_box(0, 440, 90, 480))
        assert (window.left, window.top + window.height) == (0, 480)

    def test_a_tiny_object(self) -> None:
        window = first_window(self.planned(), with_box(300, 200, 302, 203))
        assert contains(window, 300, 200, 302, 203)
        assert window.side >= 256
        assert window.scale <= WindowSettings().max_scale * 1.01

    @pytest.mark.parametrize("box", [(0, 0, 854, 480), (100, 100, 750, 400)])
    def test_objects_that_fill_the_frame(self, box: tuple[int, int, int, int]) -> None:
        assert first_window(self.planned(), with_box(*box)) == WHOLE

    def test_windows_switched_off(self) -> None:
        planner = WindowPlanner(768, None)
        assert first_window(planner, with_box(300, 200, 380, 260)) == Window.whole(SHAPE, 768)
        assert planner.plan(planner.see(with_box(300, 200, 380, 260), [1]), SHAPE, is_cut=False).is_whole

    def test_never_more_pixels_than_a_whole_frame(self) -> None:
        for box in ((300, 200, 380, 260), (100, 100, 500, 350), (400, 0, 440, 480), (0, 200, 854, 230)):
            window = first_window(self.planned(max_scale=10, thickness=1e3), with_box(*box))
            assert window.input_pixels <= WHOLE.input_pixels * 1.1, box
            assert max(window.geometry.grid(64)) <= 64

    def test_it_follows_the_objects_and_is_hardly_smaller_than_before(self) -> None:
        planner = self.planned()
        before = first_window(planner, with_box(300, 200, 400, 300))
        left = 300
        for _ in range(6):
            left += 10
            label_map = with_box(left, 200, left + 60, 300)  # partly hidden
            window = planner.plan(planner.see(label_map, [1]), SHAPE, is_cut=False)
            assert contains(window, left, 200, left + 60, 300)
            assert window.width >= 0.9 * before.width
            before = window
        assert before.width < 230

    def test_it_grows_slowly_but_holds_all_objects(self) -> None:
        planner = self.planned()
        first_window(planner, with_box(300, 200, 400, 240))
        for _ in range(DELAY):
            first = planner.plan(planner.see(with_box(300, 200, 400, 240), [1]), SHAPE, is_cut=False)
        wider = planner.plan(planner.see(with_box(300, 200, 460, 240), [1]), SHAPE, is_cut=False)
        assert wider.width == pytest.approx(first.width * 1.15, rel=0.2)
        widest = planner.plan(planner.see(with_box(100, 200, 700, 240), [1]), SHAPE, is_cut=False)
        assert contains(widest, 106, 200, 694, 240)
        assert widest.width < 700

    def test_all_visible_objects_are_inside(self) -> None:
        label_map = with_box(300, 200, 330, 230)
        label_map[210:240, 420:450] = 7
        window = first_window(self.planned(), label_map)
        assert contains(window, 300, 200, 450, 240)

    @pytest.mark.parametrize("times", [1, 4])
    def test_absent_objects_are_looked_for_everywhere(self, times: int) -> None:
        """In large frames also where they were last seen, at the scale at which they were learned."""
        planner, shape = self.planned(), (times * 480, times * 854)
        both, one = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        both[200:240, 300:340] = one[200:240, 300:340] = 1
        both[200:240, 400:440] = 2
        planner.plan(None, shape, is_cut=False, given=both)
        planner.learn(both)
        for _ in range(DELAY):
            assert not planner.plan(planner.see(both, [1, 2]), shape, is_cut=False).is_whole
        windows = [planner.plan(planner.see(one, [1, 2]), shape, is_cut=False) for _ in range(6)]
        assert [each.is_whole for each in windows] == ([True] * 6 if times == 1 else [True, False] * 3)
        assert all(contains(each, 300, 200, 440, 240) for each in windows)
        assert not planner.plan(planner.see(both, [1, 2]), shape, is_cut=False).is_whole

    def test_the_rest_of_an_object_is_looked_for(self) -> None:
        planner = self.planned()
        first_window(planner, with_box(300, 200, 400, 300))
        for _ in range(DELAY):
            planner.plan(planner.see(with_box(300, 200, 400, 300), [1]), SHAPE, is_cut=False)
        part = planner.see(with_box(300, 200, 340, 300), [1])
        assert planner.plan(part, SHAPE, is_cut=False).is_whole
        windows = [planner.plan(part, SHAPE, is_cut=False) for _ in range(10)]
        assert not windows[-1].is_whole  # it has become its usual area

    def test_objects_that_were_never_seen(self) -> None:
        planner = self.planned()
        nothing = planner.see(np.zeros(SHAPE, np.uint8), [1, 2])
        assert all(planner.plan(nothing, SHAPE, is_cut=False).is_whole for _ in range(4))
        one = planner.see(with_box(300, 200, 340, 240), [1, 2])
        assert all(planner.plan(one, SHAPE, is_cut=False).is_whole for _ in range(4))

    def test_after_a_cut_the_whole_frame_until_results_are_of_the_new_scene(self) -> None:
        planner = self.planned()
        first_window(planner, with_box(300, 200, 380, 260))
        seen = planner.see(with_box(300, 200, 380, 260), [1])
        whole = [planner.plan(seen, SHAPE, is_cut=number == DELAY).is_whole for number in range(6)]
        assert whole == [*[False] * DELAY, *[True] * DELAY, *[False] * (6 - 2 * DELAY)]

    def test_masks_just_before_a_cut_are_forgotten(self) -> None:
        planner = self.planned()
        first_window(planner, with_box(300, 200, 380, 260))
        assert planner.plan(None, SHAPE, is_cut=True).is_whole

    def test_objects_that_have_no_mask_in_the_first_frame_are_looked_for(self) -> None:
        planner = WindowPlanner(1024, WindowSettings(), [1, 2])
        assert first_window(planner, with_box(300, 200, 380, 260)).is_whole
        assert planner.plan(None, SHAPE, is_cut=False).is_whole

    def test_windows_are_of_whole_cells(self) -> None:
        for box in ((300, 200, 380, 260), (200, 200, 600, 230)):
            window = first_window(self.planned(), with_box(*box))
            rows, columns = window.geometry.grid(1024)
            height, width = window.geometry.input_size()
            assert rows - height <= 3, box
            assert columns - width <= 3, box

    def test_a_thin_line_in_a_large_frame_is_seen(self) -> None:
        label_map = np.zeros((2160, 3840), np.uint8)
        label_map[1001, 500:2500] = 1
        assert self.planned().see(label_map, [1]).boxes[1] == pytest.approx((520, 1001, 2480, 1002), abs=3)

    def test_thin_objects_are_seen_at_a_finer_scale(self) -> None:
        scales = [
            first_window(self.planned(), with_box(300, 200, 300 + length, 200 + width)).scale
            for length, width in ((120, 4), (120, 40), (120, 120))
        ]
        assert scales == sorted(scales, reverse=True)
        assert scales[0] == pytest.approx(WindowSettings().max_scale, rel=0.1)
        assert scales[1] == pytest.approx(WindowSettings().thickness * math.pi / 4 / 30, rel=0.02)
        assert scales[2] == pytest.approx(WHOLE.scale, rel=0.02)  # which would be as cheap

    def test_the_scale_stays_that_of_the_first_frame(self) -> None:
        planner = self.planned()
        first = first_window(planner, with_box(300, 200, 400, 300))
        assert planner.learn(with_box(300, 200, 400, 300)) == first
        for _ in range(60):
            window = planner.plan(planner.see(with_box(340, 240, 360, 260), [1]), SHAPE, is_cut=False)
        assert not window.is_whole
        assert window.scale == pytest.approx(first.scale, rel=0.01)

    def test_the_thickness_of_objects(self) -> None:
        rows, columns = np.mgrid[:200, :200]
        disk = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
        assert object_thickness(disk) == pytest.approx(80, rel=0.03)
        line = np.abs(rows - columns) < 7  # about 9.2 pixels wide
        assert object_thickness(line) == pytest.approx(9.2 * 4 / math.pi / math.sqrt(2), rel=0.1)

    def test_a_frame_of_another_size(self) -> None:
        planner = self.planned()
        first_window(planner, with_box(300, 200, 380, 260))
        seen = planner.see(with_box(300, 200, 380, 260), [1])
        assert planner.plan(seen, (240, 320), is_cut=False) == Window.whole((240, 320))

    def test_stray_pixels_do_not_count(self) -> None:
        label_map = with_box(300, 200, 380, 260)
        label_map[10:13, 10:13] = 1
        assert self.planned().see(label_map, [1]) == Sighting({1: (300, 200, 380, 260)}, {1: 4809})


SQUARES = [
    Square(1, RED, left=60, top=100, side=64),
    Square(2, GREEN, left=130, top=170, side=64),
]


def frames(count: int, squares: list[Square] = SQUARES) -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw(squares, index, height=480, width=854) for index in range(count)]


def windows_of(sam: ColourSam, monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """The windows that a fake SAM encodes from now on."""
    noted: list[Window] = []
    encode = sam.encode_one

    def note(image: np.ndarray, window: Window | None = None) -> Any:
        noted.append(window or Window.whole(image.shape))
        return encode(image, window)

    monkeypatch.setattr(sam, "encode_one", note)
    return noted


@pytest.fixture
def colours() -> ColourSam:
    return ColourSam(window="objects")


class TestTracking:
    @pytest.mark.parametrize("method", ["appearance", "persam-f", "persam"])
    def test_masks_are_in_their_place(self, colours: ColourSam, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        tracker = Tracker(cast(Sam, colours), method=method)
        noted = windows_of(colours, monkeypatch)
        for index, (image, truth) in enumerate(frames(12)):
            noted.clear()
            result = tracker.step(image, label_map=None if index else truth)
            for i in (1, 2):
                assert region_similarity(result.mask(i), truth == i) > 0.6, (index, i)
            assert not noted[0].is_whole

    def test_an_object_that_returns_far_away(self, colours: ColourSam) -> None:
        squares = [
            Square(1, RED, left=60, top=200, side=64),
            Square(2, BLUE, left=90, top=100, side=64, absent=range(3, 20), step=14),
        ]
        tracker = Tracker(cast(Sam, colours))
        for index, (image, truth) in enumerate(frames(25, squares)):
            result = tracker.step(image, label_map=None if index else truth)
            assert result.visible == {1: True, 2: index not in range(3, 20)}, index
            if result.visible[2]:
                assert region_similarity(result.mask(2), truth == 2) > 0.7, index

    def test_an_object_that_is_added_later_outside_the_window(self, colours: ColourSam) -> None:
        squares = [Square(1, RED, left=60, top=100, side=64), Square(2, BLUE, left=700, top=400, side=64)]
        tracker = Tracker(cast(Sam, colours))
        for index, (image, truth) in enumerate(frames(10, squares)):
            given = {0: np.where(truth == 1, 1, 0), 4: np.where(truth == 2, 2, 0)}.get(index)
            result = tracker.step(image, label_map=given)
            for i in (1, 2) if index >= 4 else (1,):
                assert region_similarity(result.mask(i), truth == i) > 0.7, (index, i)

    def test_a_frame_that_is_repeated_is_not_encoded(self, colours: ColourSam, monkeypatch: pytest.MonkeyPatch) -> None:
        tracker = Tracker(cast(Sam, colours))
        (first, truth), (second, _) = frames(2)
        tracker.step(first, label_map=truth)
        result = tracker.step(second)
        noted = windows_of(colours, monkeypatch)
        for index in (2, 3):
            repeated = tracker.step(second.copy())
            assert repeated.index == index
            assert repeated.scores == result.scores
            assert np.array_equal(repeated.label_map, result.label_map)
        assert not noted
        tracker.step(first)
        assert len(noted) == 1

    def test_frames_in_the_same_memory_are_not_taken_for_repeated(self, colours: ColourSam) -> None:
        tracker, again = Tracker(cast(Sam, colours)), Tracker(cast(Sam, colours))
        buffer = np.empty((480, 854, 3), np.uint8)
        for index, (image, truth) in enumerate(frames(5)):
            buffer[:] = image
            result = tracker.step(buffer, label_map=None if index else truth)
            wanted = again.step(image, label_map=None if index else truth)
            assert np.array_equal(result.label_map, wanted.label_map), index
            assert np.array_equal(result.frame.image, image)

    def test_an_absent_object_is_looked_for_in_repeated_frames(
        self, colours: ColourSam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tracker = Tracker(cast(Sam, colours))
        image, truth = frames(1)[0]
        tracker.step(image, label_map=truth)
        gone = np.full_like(image, image[0, 0])
        tracker.step(gone)
        noted = windows_of(colours, monkeypatch)
        assert not any(tracker.step(gone).visible.values())
        assert len(noted) == 1

    def test_a_repeated_result_does_not_depend_on_what_became_of_the_first(self, colours: ColourSam) -> None:
        tracker = Tracker(cast(Sam, colours))
        image, truth = frames(1)[0]
        tracker.step(image, label_map=truth).label_map[:] = 0
        tracker.step(image).label_map[:] = 0
        assert np.array_equal(tracker.step(image).label_map, truth)

    def test_a_frame_is_not_repeated_after_an_error(self, colours: ColourSam, monkeypatch: pytest.MonkeyPatch) -> None:
        tracker, again = Tracker(cast(Sam, colours)), Tracker(cast(Sam, colours))
        (first, truth), (second, _), (third, _) = frames(3)
        for each in (tracker, again):
            each.step(first, label_map=truth)
        with monkeypatch.context() as patch:
            patch.setattr(colours, "encode_one", lambda *_: (_ for _ in ()).throw(MemoryError))
            with pytest.raises(MemoryError):
                tracker.step(second)
        for image in (second, third):
            result, wanted = tracker.step(image), again.step(image)
            for i in (1, 2):
                assert region_similarity(result.mask(i), wanted.mask(i)) > 0.8

    def test_a_mask_for_a_repeated_frame(self, colours: ColourSam) -> None:
        tracker = Tracker(cast(Sam, colours))
        image, truth = frames(1)[0]
        tracker.step(image, label_map=np.where(truth == 1, 1, 0))
        result = tracker.step(image, label_map=np.where(truth == 2, 2, 0))
        assert result.object_ids == (1, 2)
        assert np.array_equal(result.label_map == 2, truth == 2)
        assert region_similarity(result.mask(1), truth == 1) > 0.8

    def test_many_repeated_frames_keep_nothing(self, colours: ColourSam) -> None:
        tracker = Tracker(cast(Sam, colours))
        image, truth = frames(1)[0]
        starts = [tracker.start(image, label_map=truth), *(tracker.start(image) for _ in range(2000))]
        assert np.array_equal(starts[-1]().label_map, truth)
        assert len(tracker._sightings) <= DELAY + 1


def write_clip(path: Path, count: int) -> Path:
    with VideoWriter(path, width=854, height=480, time_base=Fraction(1, 24), frame_rate=Fraction(24)) as writer:
        for index, (image, _) in enumerate(frames(count)):
            writer.write(image, index)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_results_do_not_depend_on_the_number_of_cores(
    tmp_path: Path, colours: ColourSam, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    clip, first = write_clip(tmp_path / "clip.mp4", 14), frames(1)[0][1]
    sam = cast(Sam, colours)
    noted = windows_of(colours, monkeypatch)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    with closing(cast(Any, track(clip, first, sam=sam))) as results:
        label_maps = [result.label_map for result in results]
    piped = sorted(noted, key=repr)
    noted.clear()
    from persam_video.video.reader import open_video

    tracker = Tracker(sam)
    with open_video(clip) as reader:
        for frame, label_map in zip(reader, label_maps, strict=True):
            assert np.array_equal(tracker.step(frame, label_map=None if frame.index else first).label_map, label_map)
    assert sorted(noted, key=repr) == piped
