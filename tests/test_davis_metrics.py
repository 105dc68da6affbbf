"""J, F and their statistics, against slow but plain implementations and the official code's values."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from persam_video.evaluation.davis.dataset import open_dataset
from persam_video.evaluation.davis.metrics import (
    Statistics,
    boundary_radius,
    contour,
    contour_accuracy,
    filled_window,
    region_similarity,
    statistics,
)
from persam_video.evaluation.davis.scoring import evaluate

SHARED = Path(__file__).parents[1].parent / "shared"
GOLDEN = SHARED / "davis_golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the official metrics in ../shared/davis_golden")

Mask = npt.NDArray[np.bool_]
Pixels = set[tuple[int, int]]

SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 23), (19, 1), (3, 5), (17, 13), (31, 8), (18, 27)]


def pixels_of(mask: Mask) -> Pixels:
    return {(int(y), int(x)) for y, x in np.argwhere(mask)}


def slow_contour(mask: Mask) -> Pixels:
    height, width = mask.shape
    return {
        (y, x)
        for y, x in product(range(height), range(width))
        for dy, dx in ((0, 1), (1, 0), (1, 1))
        if y + dy < height and x + dx < width and mask[y, x] != mask[y + dy, x + dx]
    }


def slow_matched_fraction(some: Pixels, others: Pixels, radius: int) -> float:
    a, b = np.array(sorted(some)), np.array(sorted(others))
    squares = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return float(np.mean(squares.min(axis=1) <= radius * radius))


def slow_j(predicted: Mask, truth: Mask) -> float:
    a, b = pixels_of(predicted), pixels_of(truth)
    return len(a & b) / len(a | b) if a | b else 1.0


def slow_f(predicted: Mask, truth: Mask, radius: int) -> float:
    a, b = slow_contour(predicted), slow_contour(truth)
    if not a or not b:
        return float(len(a) == len(b))
    precision, recall = slow_matched_fraction(a, b, radius), slow_matched_fraction(b, a, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def masks_of(shape: tuple[int, int], seed: int) -> list[Mask]:
    """Empty, full, single pixels in all corners, noise of three densities, a blob, all but the border, the border."""
    random = np.random.default_rng(seed)
    masks = [np.zeros(shape, np.bool_), np.ones(shape, np.bool_)]
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1), (shape[0] // 2, shape[1] // 2)):
        masks.append(np.zeros(shape, np.bool_))
        masks[-1][y, x] = True
    masks += [random.random(shape) < density for density in (0.03, 0.5, 0.97)]
    masks.append(cv2.blur(random.random(shape), (5, 5)) > 0.5)
    inner = np.zeros(shape, np.bool_)
    inner[1:-1, 1:-1] = True
    return [*masks, inner, ~inner]


def shifted(mask: Mask, dy: int, dx: int) -> Mask:
    moved: Mask = np.roll(mask, (dy, dx), axis=(0, 1))
    return moved


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
class TestAgainstSlowImplementations:
    def test_contours(self, shape: tuple[int, int]) -> None:
        for mask in masks_of(shape, seed=1):
            assert pixels_of(contour(mask)) == slow_contour(mask)

    def test_j(self, shape: tuple[int, int]) -> None:
        for a, b in product(masks_of(shape, seed=2), masks_of(shape, seed=3)):
            assert region_similarity(a, b) == slow_j(a, b)

    def test_f(self, shape: tuple[int, int]) -> None:
        assert boundary_radius(*shape) == 1
        for a, b in product(masks_of(shape, seed=4), masks_of(shape, seed=5)):
            assert contour_accuracy(a, b) == slow_f(a, b, radius=1)

    def test_f_with_another_radius(self, shape: tuple[int, int]) -> None:
        a = masks_of(shape, seed=6)[-5:]
        b = [np.zeros(shape, np.bool_), *masks_of(shape, seed=7)[2:8]]
        for radius, first, second in product((0, 2, 3, 4, 5, 7, 10, 60), a, b):
            assert contour_accuracy(first, second, radius=radius) == slow_f(first, second, radius)

    def test_void_pixels_count_as_neither_mask(self, shape: tuple[int, int]) -> None:
        void = np.random.default_rng(8).random(shape) < 0.3
        for a, b in product(masks_of(shape, seed=9), masks_of(shape, seed=10)):
            assert region_similarity(a, b, void) == slow_j(a & ~void, b & ~void)
            assert contour_accuracy(a, b, void) == slow_f(a & ~void, b & ~void, radius=1)


class TestContourAccuracy:
    @pytest.mark.slow
    def test_the_radius_grows_with_the_image(self) -> None:
        """Blobs, about half of whose contours are within the radius of each other, in an image with a radius of 3."""
        random = np.random.default_rng(11)
        first = cv2.GaussianBlur(random.standard_normal((151, 221)), (0, 0), 10) > 0
        assert boundary_radius(*first.shape) == 3
        values = set()
        for dy, dx in ((0, 0), (2, 2), (1, 3), (3, 1), (4, 0), (20, 30)):
            second = shifted(first, dy, dx)
            values.add(value := contour_accuracy(first, second))
            assert value == slow_f(first, second, radius=3)
        assert len(values) > 3

    def test_pixels_match_up_to_the_radius(self) -> None:
        for radius in (1, 2, 3, 5, 8, 13, 25):
            first = np.zeros((120, 120), np.bool_)
            first[60, 60] = True
            for dy, dx in product(range(radius + 3), range(radius + 3)):
                # the contour of a single pixel is a 2×2 square, so the closest two pixels of the squares decide
                second = shifted(first, dy, dx)
                near = max(dy - 1, 0) ** 2 + max(dx - 1, 0) ** 2 <= radius * radius
                assert (contour_accuracy(first, second, radius=radius) > 0) == near, (radius, dy, dx)

    def test_a_full_and_an_empty_mask_have_no_contour(self) -> None:
        full = np.ones((9, 9), np.bool_)
        assert contour_accuracy(full, full) == contour_accuracy(full, ~full) == contour_accuracy(~full, ~full) == 1
        part = full.copy()
        part[4:] = False
        assert contour_accuracy(full, part) == contour_accuracy(part, ~full) == 0

    def test_contours_far_apart(self) -> None:
        first, second = np.zeros((2, 40, 40), np.bool_)
        first[2:6, 2:6] = second[30:35, 30:35] = True
        assert contour_accuracy(first, second) == 0

    def test_a_rectangle_with_one_side_shifted(self) -> None:
        """10×20 against 10×30 pixels: contours of 60 and 80 pixels, 51 of them in common."""
        first, second = np.zeros((2, 60, 80), np.bool_)
        first[20:30, 20:40] = second[20:30, 20:50] = True
        expected = 2 * (51 / 60) * (51 / 80) / (51 / 60 + 51 / 80)
        assert contour_accuracy(first, second, radius=0) == pytest.approx(expected)


class TestMasksOfAnyLayout:
    def test_views_of_larger_arrays_transposed_and_flipped(self) -> None:
        random = np.random.default_rng(12)
        large = cv2.blur(random.random((2, 60, 70)).transpose(1, 2, 0), (5, 5)).transpose(2, 0, 1) > 0.5
        for view in (
            large[:, 7:40, 11:38],
            large[:, ::2, ::3],
            large[:, ::-1, ::-1],
            large.transpose(0, 2, 1),
            np.asfortranarray(large[:, :30]),
        ):
            a, b = view
            assert region_similarity(a, b) == slow_j(a, b)
            assert contour_accuracy(a, b) == slow_f(a, b, boundary_radius(*a.shape))

    def test_the_masks_are_not_modified(self) -> None:
        random = np.random.default_rng(13)
        a, b, void = random.random((3, 20, 30)) < 0.5
        copies = a.copy(), b.copy(), void.copy()
        region_similarity(a, b, void)
        contour_accuracy(a, b, void)
        assert all(np.array_equal(*pair) for pair in zip(copies, (a, b, void), strict=True))


class TestBoundaryRadius:
    def test_it_is_a_fraction_of_the_diagonal_rounded_up(self) -> None:
        assert boundary_radius(480, 854) == 8  # 7.84
        assert boundary_radius(300, 400) == 4  # 4 exactly
        assert boundary_radius(301, 400) == 5
        assert boundary_radius(240, 432) == 4  # 3.95
        assert boundary_radius(1080, 1920) == 18  # 17.6
        assert boundary_radius(1, 1) == 1


class TestFilledWindow:
    def test_it_is_the_bounding_box_with_a_margin_within_the_image(self) -> None:
        label_map = np.zeros((20, 30), np.uint8)
        label_map[5:8, 10:14] = 3
        assert filled_window(label_map) == np.s_[4:9, 9:15]
        assert filled_window(label_map, margin=4) == np.s_[1:12, 6:18]
        assert label_map[filled_window(label_map > 0, margin=50)].shape == (20, 30)
        label_map[0, 29] = 255
        assert label_map[filled_window(label_map)].shape == (9, 21)

    def test_of_an_empty_mask_it_has_pixels(self) -> None:
        label_map = np.zeros((20, 30), np.uint8)
        assert label_map[filled_window(label_map)].size > 0


class TestStatistics:
    @pytest.mark.parametrize(
        ("values", "decay"),
        [
            ([0.7], 0.0),
            ([0.9, 0.2], 0.9 - 0.2),
            ([0.9, 0.5, 0.2], (0.9 + 0.5) / 2 - 0.2),
            ([0.9, 0.7, 0.3, 0.2], (0.9 + 0.7) / 2 - (0.3 + 0.2) / 2),
            ([0.9, 0.7, 0.0, 0.3, 0.2], (0.9 + 0.7) / 2 - (0.3 + 0.2) / 2),
            ([0.9, 0.8, 0.7, 0.0, 1.0, 0.0, 0.3, 0.2, 0.1], 0.8 - 0.2),
        ],
    )
    def test_decay_uses_quarters_that_share_their_ends(self, values: list[float], decay: float) -> None:
        found = statistics(np.array(values))
        assert found.decay == pytest.approx(decay, abs=1e-12)
        assert found.mean == pytest.approx(sum(values) / len(values))

    def test_long_sequences(self) -> None:
        """More frames than 8 bits can index."""
        values = np.repeat([0.75, 0.25, 0.5, 0.125], 150)
        first, last = (150 * 0.75 + 0.25) / 151, (0.5 + 150 * 0.125) / 151
        assert statistics(values).decay == pytest.approx(first - last)

    def test_recall_counts_values_above_one_half(self) -> None:
        assert statistics(np.array([0.5, 0.500001, 0.499, 1.0])).recall == 0.5

    def test_values_are_python_floats(self) -> None:
        found = statistics(np.array([0.25, 0.75]))
        assert found == Statistics(mean=0.5, recall=0.5, decay=-0.5)
        assert all(type(value) is float for value in (found.mean, found.recall, found.decay))


@needs_golden
def test_metrics_equal_those_of_the_official_evaluation() -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    dataset = open_dataset(SHARED / "davis", sequences=expected["sequences"])
    objects = [one for each in evaluate(dataset.sequences, GOLDEN / "osvos") for one in each.objects]
    assert [f"{one.sequence}_{one.object_id}" for one in objects] == list(expected["J"]["M_per_object"])
    for metric in "JF":
        found = [one.j if metric == "J" else one.f for one in objects]
        for letter, name in (("M", "mean"), ("R", "recall"), ("D", "decay")):
            assert [getattr(each, name) for each in found] == pytest.approx(expected[metric][letter], abs=1e-6)
    assert math.isclose(objects[0].j_and_f, (expected["J"]["M"][0] + expected["F"]["M"][0]) / 2)
