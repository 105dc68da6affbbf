"""Soft edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from persam_video import Frame, FrameResult
from persam_video.matting import alpha_of


def hairy(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image of a disc with hair on a striped background, its exact alpha, and a mask as SAM's low-res grid gives it."""
    rng = np.random.default_rng(seed)
    large = np.zeros((480, 640), np.uint8)
    cv2.circle(large, (320, 240), 120, 255, -1, cv2.LINE_AA)
    for angle in rng.random(300) * 2 * np.pi:
        direction = np.array([np.cos(angle), np.sin(angle)])
        start, end = (np.array([320, 240]) + direction * length for length in (115, 120 + 30 * rng.random()))
        cv2.line(large, tuple(start.astype(int)), tuple(end.astype(int)), 255, 2, cv2.LINE_AA)
    alpha = cv2.resize(large, (320, 240), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    stripes = np.indices((240, 320)).sum(axis=0) // 20 % 2
    behind = np.where(stripes[..., None] > 0, (40, 160, 60), (60, 120, 90))
    image = np.rint(alpha[..., None] * np.array([200, 60, 40]) + (1 - alpha[..., None]) * behind).astype(np.uint8)
    low_res = cv2.GaussianBlur(cv2.resize(alpha, (256, 192), interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    mask = (cv2.resize(low_res, (320, 240), interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.uint8)
    return image, alpha, mask


@pytest.mark.parametrize("seed", range(3))
def test_it_is_nearer_to_the_truth_than_the_mask(seed: int) -> None:
    image, truth, mask = hairy(seed)
    alpha = alpha_of(image, mask, [1])
    assert np.abs(alpha - truth).mean() < 0.85 * np.abs(mask - truth).mean()


def test_alphas_of_all_labels_sum_to_1() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 200, 3), np.uint8), (0, 0), 2)
    label_map = np.zeros((120, 200), np.uint8)
    cv2.circle(label_map, (60, 60), 40, 1, -1)
    cv2.circle(label_map, (110, 60), 30, 5, -1)
    cv2.rectangle(label_map, (90, 80), (199, 119), 9, -1)
    alphas = [alpha_of(image, label_map, [i]) for i in (0, 1, 5, 9)]
    assert alphas[0].dtype == np.float32
    assert all(each.min() >= 0 and each.max() <= 1 for each in alphas)
    assert np.abs(sum(alphas) - 1).max() < 1e-5
    assert np.abs(alpha_of(image, label_map, [1, 5]) - alphas[1] - alphas[2]).max() < 1e-5


def test_it_is_hard_away_from_edges() -> None:
    image, _, mask = hairy(0)
    alpha = alpha_of(image, mask, [1])
    kernel = np.ones((9, 9), np.uint8)
    assert (alpha[cv2.erode(mask, kernel) > 0] == 1).all()
    assert (alpha[cv2.dilate(mask, kernel) == 0] == 0).all()


@pytest.mark.parametrize("value", [0, 1])
def test_one_label_alone(value: int) -> None:
    image = np.full((20, 30, 3), 90, np.uint8)
    label_map = np.full((20, 30), value, np.uint8)
    assert (alpha_of(image, label_map, [1]) == value).all()


def test_of_a_result() -> None:
    image, _, mask = hairy(1)
    result = FrameResult.of(Frame(0, image, "0"), mask * 3, {3: 0.9, 4: 0.0})
    assert np.array_equal(result.alpha(3), alpha_of(image, mask, [1]))
    assert not result.alpha(4).any()
    assert np.abs(result.alpha(0) + result.alpha([3, 4]) - 1).max() < 1e-6
    with pytest.raises(KeyError):
        result.alpha(5)
