"""Descriptors of a frame's cells: SAM's features and colours on the feature grid, and colours on the low-res grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.frame import Image
from persam_video.runtime.constants import device_constant
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, Geometry
from persam_video.sam.image_encoder import Features, unit_features

_NEIGHBOURHOOD_RADIUS = 4
"""In cells of the low-res grid: about one cell of the feature grid."""
_REDUCTIONS = {1: cv2.REDUCE_SUM, 2: cv2.REDUCE_SUM2}
"""By the power that is summed."""


@dataclass(frozen=True, eq=False, slots=True)
class Colours:
    """Mean and standard deviation of red, green and blue, 0 to 1, over the cells of a grid: float, 3×h×w each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def on_grids(cls, pixels: Tensor, geometry: Geometry, sizes: Sequence[int]) -> list[Colours]:
        """Colours of a frame on several grids.

        Args:
            pixels: RGB, uint8, H×W×3.
            geometry: of the frame.
            sizes: cells along the side of SAM's square, per grid (`Geometry.grid`).
        """
        # All grids cover the same pixels: those of whole cells of the feature grid.
        cells = FEATURE_SIZE * geometry.side // INPUT_SIZE  # along the frame's longer side
        height, width = (-(-each * geometry.longer_side // cells) for each in geometry.grid(FEATURE_SIZE))
        below, right = height - pixels.shape[0], width - pixels.shape[1]
        pool = pool_with_opencv if pixels.device.type == "cpu" else pool_with_torch
        return [cls.from_moments(*each) for each in pool(pixels, below, right, [geometry.grid(size) for size in sizes])]

    @classmethod
    def from_moments(cls, mean: Tensor, mean_square: Tensor) -> Colours:
        """Colours by their mean and the mean of their squares."""
        return cls(mean, (mean_square - mean * mean).clamp(min=0).sqrt())

    def contrast(self) -> Tensor:
        """Difference of the mean from that of its neighbourhood, float, 3×h×w, -1 to 1."""
        rows, columns = (_neighbourhood_weights(length, self.mean.device) for length in self.mean.shape[1:])
        return self.mean - rows @ self.mean @ columns.T


def cell_descriptors(features: Features, colours: Colours) -> tuple[Tensor, Tensor]:
    """Descriptors of all cells of a frame, row by row, for the classifier.

    Args:
        features: of the frame.
        colours: of the frame, on the feature grid.
    Returns:
        unit features, float, cells×256, and colours, float, cells×6, mean and standard deviation.
    """
    return unit_features(features).flatten(1).T, torch.cat((colours.mean, colours.std)).flatten(1).T


def pool_with_torch(
    pixels: Tensor, below: int, right: int, grids: Sequence[tuple[int, int]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean of the colours, 0 to 1, and of their squares over the cells of each grid: float, 3×rows×columns each.

    Cells are those of `torch.nn.AdaptiveAvgPool2d`. On a GPU it is faster than `pool_with_opencv`.

    Args:
        pixels: RGB, uint8, H×W×3.
        below: number of times that the last row is repeated.
        right: the same of the last column.
        grids: rows and columns of each.
    """
    colours = F.pad(pixels.permute(2, 0, 1)[None] / 255, (0, right, 0, below), mode="replicate")[0]
    both = torch.cat((colours, colours.square()))
    height, width = both.shape[1:]
    for rows, columns in grids:
        pooled = _cell_weights(height, rows, both.device) @ both @ _cell_weights(width, columns, both.device).T
        yield pooled[:3], pooled[3:]


def pool_with_opencv(
    pixels: Tensor, below: int, right: int, grids: Sequence[tuple[int, int]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same as `pool_with_torch` on the CPU, where it is faster."""
    image = np.asarray(cv2.copyMakeBorder(pixels.numpy(), 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    for grid in grids:
        mean, square = (_mean_power(image, grid, power) / 255**power for power in (1, 2))
        yield mean, square


def _mean_power(image: Image, grid: tuple[int, int], power: int) -> Tensor:
    """Mean of the first or second power of an image over the cells of a grid: float, 3×rows×columns."""
    height, width, channels = image.shape
    flat = image.reshape(height, width * channels)
    means = np.empty((grid[0], width * channels), np.float32)
    # OpenCV sums rows of bytes ten times as fast as torch; little is left for the columns.
    for row, mean in enumerate(means):
        start, stop = row * height // len(means), -(-(row + 1) * height // len(means))
        cv2.reduce(flat[start:stop], 0, _REDUCTIONS[power], dtype=cv2.CV_32F, dst=mean[None])
        mean /= stop - start
    row_means = torch.from_numpy(means).view(-1, width, channels).permute(2, 0, 1)
    membership = _cell_membership(width, grid[1], row_means.device)
    # Summed before it is divided: so the std of a flat colour is exactly 0.
    return row_means.contiguous() @ membership.T / membership.sum(dim=1)


@device_constant
def _cell_membership(length: int, cells: int) -> Tensor:
    """Whether each pixel of a line is in each cell: float, cells×length, 0 or 1."""
    pixel, cell = torch.arange(length), torch.arange(cells)
    starts, stops = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    return ((pixel >= starts[:, None]) & (pixel < stops[:, None])).float()


@device_constant
def _cell_weights(length: int, cells: int) -> Tensor:
    """Weight of each pixel of a line in the mean of each cell: float, cells×length."""
    membership = _cell_membership(length, cells, torch.device("cpu"))
    return membership / membership.sum(dim=1, keepdim=True)


@device_constant
def _neighbourhood_weights(length: int) -> Tensor:
    """Weight of each cell of a line in the mean of each cell's neighbourhood: float, length×length. The first and the
    last cell are repeated beyond the ends."""
    offsets = torch.arange(-_NEIGHBOURHOOD_RADIUS, _NEIGHBOURHOOD_RADIUS + 1)
    neighbours = (torch.arange(length)[:, None] + offsets).clamp(0, length - 1)
    return F.one_hot(neighbours, length).float().mean(dim=1)
