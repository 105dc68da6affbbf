"""What is seen of a frame's places: SAM's features and colours of its cells, and finer colours for outlines."""

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

_SURROUNDINGS = 4
"""A place's surroundings reach so many places to each side: about one cell of the features."""
_BY_OPENCV = ("cpu",)
"""Where it pools bytes faster than torch."""
_REDUCTIONS = {1: cv2.REDUCE_SUM, 2: cv2.REDUCE_SUM2}
"""By the power of what is summed."""


@dataclass(frozen=True, eq=False, slots=True)
class Colours:
    """Mean and standard deviation of red, green and blue, 0 to 1, over the places of a grid: float, 3×h×w each."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def on_grids(cls, pixels: Tensor, geometry: Geometry, sizes: Sequence[int]) -> list[Colours]:
        """Those of a frame, RGB, uint8, H×W×3, on each grid of so many places along the square's side (`Geometry`)."""
        # All grids cover the same pixels: those into which whole cells of the features reach.
        cells = FEATURE_SIZE * geometry.side // INPUT_SIZE  # along the frame's longer side
        height, width = (-(-each * geometry.longer_side // cells) for each in geometry.grid(FEATURE_SIZE))
        below, right = height - pixels.shape[0], width - pixels.shape[1]
        pool = _pooled_by_opencv if pixels.device.type in _BY_OPENCV else _pooled_by_torch
        pooled = pool(pixels, below, right, [geometry.grid(size) for size in sizes])
        return [cls(mean, (square - mean * mean).clamp(min=0).sqrt()) for mean, square in pooled]

    def contrast(self) -> Tensor:
        """How the mean differs from that of the surroundings: float, 3×h×w, -1 to 1."""
        rows, columns = (_surroundings(length, self.mean.device) for length in self.mean.shape[1:])
        return self.mean - rows @ self.mean @ columns.T


def describe_cells(features: Features, colours: Colours) -> tuple[Tensor, Tensor]:
    """What the appearance classifier sees of every cell of a frame.

    Args:
        features: of the frame.
        colours: of the frame, on the features' grid.
    Returns:
        unit features, float, cells×256, and colours, float, cells×6, mean and deviation. Row by row of the grid.
    """
    return unit_features(features).flatten(1).T, torch.cat((colours.mean, colours.deviation)).flatten(1).T


def _pooled_by_torch(
    pixels: Tensor, below: int, right: int, grids: Sequence[tuple[int, int]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The mean of the colours, 0 to 1, and of their squares in every place of each grid, as
    `torch.nn.AdaptiveAvgPool2d` has it, by products: float, 3×rows×columns. The last rows and columns are repeated."""
    colours = F.pad(pixels.permute(2, 0, 1)[None] / 255, (0, right, 0, below), mode="replicate")[0]
    both = torch.cat((colours, colours.square()))
    height, width = both.shape[1:]
    for rows, columns in grids:
        pooled = _shares(height, rows, both.device) @ both @ _shares(width, columns, both.device).T
        yield pooled[:3], pooled[3:]


def _pooled_by_opencv(
    pixels: Tensor, below: int, right: int, grids: Sequence[tuple[int, int]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same on a CPU."""
    image = np.asarray(cv2.copyMakeBorder(pixels.numpy(), 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    for grid in grids:
        mean, square = (_mean_power(image, grid, power) / 255**power for power in (1, 2))
        yield mean, square


def _mean_power(pixels: Image, grid: tuple[int, int], power: int) -> Tensor:
    """The mean of a power, 1 or 2, of the pixels in every place of a grid: float, 3×rows×columns."""
    height, width, channels = pixels.shape
    flat = pixels.reshape(height, width * channels)
    means = np.empty((grid[0], width * channels), np.float32)
    # Over the rows by OpenCV, which is ten times as fast with bytes; that leaves little to be done.
    for number, mean in enumerate(means):
        start, stop = number * height // len(means), -(-(number + 1) * height // len(means))
        cv2.reduce(flat[start:stop], 0, _REDUCTIONS[power], dtype=cv2.CV_32F, dst=mean[None])
        mean /= stop - start
    rows = torch.from_numpy(means).view(-1, width, channels).permute(2, 0, 1)
    inside = _inside(width, grid[1], rows.device)
    return rows.contiguous() @ inside.T / inside.sum(dim=1)  # in this order flat colours have no deviation


@device_constant
def _inside(length: int, places: int) -> Tensor:
    """Which of so many pixels in a line lie in every place: float, places×length, 0 or 1."""
    pixel, place = torch.arange(length), torch.arange(places)
    starts, stops = place * length // places, ((place + 1) * length + places - 1) // places
    return ((pixel >= starts[:, None]) & (pixel < stops[:, None])).float()


@device_constant
def _shares(length: int, places: int) -> Tensor:
    """What each of them adds to the mean of every place: float, places×length."""
    inside = _inside(length, places, torch.device("cpu"))
    return inside / inside.sum(dim=1, keepdim=True)


@device_constant
def _surroundings(length: int) -> Tensor:
    """What each of so many places in a line adds to the mean of every place's surroundings: float, length×length. The
    first and the last place are repeated beyond the ends."""
    place = torch.arange(length)
    around = (place[:, None] + torch.arange(-_SURROUNDINGS, _SURROUNDINGS + 1)).clamp(0, length - 1)
    return F.one_hot(around, length).float().mean(dim=1)
