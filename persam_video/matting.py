"""Soft edges of masks, from the colours of the image.

The indicator of each label is filtered with the image as its guide (He, Sun, Tang: Guided Image Filtering, 2010), in a
band along the edges. The filter is linear and keeps constants, so that the labels' alphas sum to 1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_FloatArray = npt.NDArray[np.floating[Any]]
"""float32; typed loosely, as OpenCV and arithmetic are."""

_CELLS = 256
"""Along the longer side of SAM's low-res masks: finer than a cell their edges are not known."""
_RADIUS = 1.2
"""Of the filter, in cells."""
_EPSILON = 1e-5
"""Variance of colours, 0 to 1, below which an area counts as even."""


def alpha_of(
    image: npt.NDArray[np.uint8], label_map: npt.NDArray[np.uint8], labels: Collection[int]
) -> npt.NDArray[np.float32]:
    """Share of each pixel that belongs to some labels together: float32, H×W, 0 to 1.

    It is 0 or 1 away from the edges of the labels. The alphas of all labels, background included, sum to 1.

    Args:
        image: RGB, uint8, H×W×3.
        label_map: uint8, H×W.
        labels: values of the label map.
    """
    wanted = np.zeros(256, np.float32)
    wanted[list(labels)] = 1
    alpha: npt.NDArray[np.float32] = wanted[label_map]
    radius = max(1, round(_RADIUS * max(label_map.shape) / _CELLS))
    band = 2 * radius
    chosen = np.asarray(alpha, np.uint8)
    x, y, width, height = cv2.boundingRect(chosen)
    if width == 0 or width * height == chosen.size == cv2.countNonZero(chosen):
        return alpha
    # The filter sees two radii beyond what it changes.
    inner = _grown(x, y, width, height, band, alpha.shape)
    outer = _grown(x, y, width, height, band + 2 * radius, alpha.shape)
    area = np.ascontiguousarray(label_map[outer])
    kernel = np.ones((2 * band + 1, 2 * band + 1), np.uint8)
    near_edge = cv2.dilate(area, kernel) != cv2.erode(area, kernel)
    filtered = _filtered(np.ascontiguousarray(image[outer]), area, wanted, radius)
    soft = np.where(near_edge, filtered, alpha[outer]).astype(np.float32)
    rows = slice(inner[0].start - outer[0].start, inner[0].stop - outer[0].start)
    columns = slice(inner[1].start - outer[1].start, inner[1].stop - outer[1].start)
    alpha[inner] = soft[rows, columns]
    return alpha


def _grown(x: int, y: int, width: int, height: int, by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows = slice(max(0, y - by), min(shape[0], y + height + by))
    return rows, slice(max(0, x - by), min(shape[1], x + width + by))


def _filtered(
    image: npt.NDArray[np.uint8], label_map: npt.NDArray[np.uint8], wanted: _FloatArray, radius: int
) -> _FloatArray:
    """Sum of the wanted labels' filtered indicators, each cut to 0 to 1, relative to the sum of all."""
    guide = _Guide(image, radius)
    total = np.zeros(label_map.shape, np.float32)
    chosen = np.zeros(label_map.shape, np.float32)
    for label in np.unique(label_map):
        share = np.clip(guide.filtered((label_map == label).astype(np.float32)), 0, 1)
        total += share
        if wanted[label]:
            chosen += share
    return np.divide(chosen, total, out=np.zeros_like(total), where=total > 0)


class _Guide:
    """Guided filter with the colours of an image as its guide."""

    def __init__(self, image: npt.NDArray[np.uint8], radius: int) -> None:
        self._size = (2 * radius + 1, 2 * radius + 1)
        self._channels = [np.asarray(image[..., c], np.float32) / 255 for c in range(3)]
        self._means = [self._mean(channel) for channel in self._channels]
        # Inverse of the colours' covariance matrix at each pixel, by its cofactors.
        r, g, b = self._channels
        rr, rg, rb = (self._covariance(r, c) for c in (r, g, b))
        gg, gb, bb = self._covariance(g, g), self._covariance(g, b), self._covariance(b, b)
        rr, gg, bb = rr + _EPSILON, gg + _EPSILON, bb + _EPSILON
        inverse = [gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb]
        determinant = rr * inverse[0] + rg * inverse[1] + rb * inverse[2]
        rest = [rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg]
        cofactors = [inverse, [inverse[1], rest[0], rest[1]], [inverse[2], rest[1], rest[2]]]
        self._inverse = [[each / determinant for each in row] for row in cofactors]

    def filtered(self, values: _FloatArray) -> _FloatArray:
        """Values, float32, H×W, filtered."""
        mean = self._mean(values)
        covariances = [
            self._mean(channel * values) - channel_mean * mean
            for channel, channel_mean in zip(self._channels, self._means, strict=True)
        ]
        slopes = [sum(a * b for a, b in zip(row, covariances, strict=True)) for row in self._inverse]
        offset = mean - sum(slope * each for slope, each in zip(slopes, self._means, strict=True))
        smoothed = [self._mean(np.asarray(slope, np.float32)) for slope in slopes]
        product = sum(slope * channel for slope, channel in zip(smoothed, self._channels, strict=True))
        return np.asarray(product + self._mean(np.asarray(offset, np.float32)), np.float32)

    def _mean(self, values: _FloatArray) -> _FloatArray:
        return np.asarray(cv2.boxFilter(values, -1, self._size, borderType=cv2.BORDER_REFLECT), np.float32)

    def _covariance(self, first: _FloatArray, second: _FloatArray) -> _FloatArray:
        return self._mean(first * second) - self._mean(first) * self._mean(second)
