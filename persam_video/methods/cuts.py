"""Cuts to another scene, told from two frames in a row and the optical flow between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.frame import Image

Grey = npt.NDArray[np.uint8]
"""Grey image, uint8, h×w."""
_Map = npt.NDArray[np.float32]

_REDUCTION = 2
"""Of the grey images: finer texture is lost to noise and motion blur."""
_BLOCK = 8
"""Side of a block, in pixels of the images so reduced. Of larger blocks more is explained by chance."""
_NOISE_VARIANCE = 10.0
"""Of grey values, 0 to 255: contrast below is that of noise, and flat blocks explain one another."""
_QUANTILE = 0.7
"""Of the explained shares, weighted by contrast: up to 70 % of the contrast may be occluded, blurred or out of the
frame."""
MIN_EXPLAINED = 0.5
"""Explained below this is a cut where the colours have changed. `tools/scene_cuts.py pairs` shows the distributions on
both sides of it."""
_MAX_COMMON_COLOURS = 0.8
"""Above this share of common colours, less must be explained for two frames to be of one scene: the flow cannot follow
a fast pan, while the colours stay. Of two frames that follow one another in a scene it is mostly above .9."""
_SLOPE = 2.0
"""By how much less, per share: images of wholly the same colours are one scene from .1 on."""
_COLOUR_BITS = 3
"""Per channel: colours that differ by less than 1/8 count as the same."""
_SAMPLES = 128
"""Pixels along the longer side of an image from which its colours are taken, about."""


@dataclass(frozen=True, eq=False, slots=True)
class Reduced:
    """What is kept of an image for the optical flow and for telling cuts.

    Args:
        grey: the image in grey, 512 pixels along its longer side.
        fine_grey: the same with at most 2048 pixels, for the flow of windows.
        colours: float64, 512: share of its pixels of each colour (`colour_histogram`).
    """

    grey: Grey
    fine_grey: Grey
    colours: npt.NDArray[np.float64]


def colour_histogram(image: Image) -> npt.NDArray[np.float64]:
    """Share of the pixels of each of 512 colours: float64, 512.

    Args:
        image: RGB, uint8, H×W×3.
    """
    step = max(1, max(image.shape[:2]) // _SAMPLES)
    red, green, blue = np.moveaxis(image[::step, ::step] >> (8 - _COLOUR_BITS), 2, 0).astype(np.int64)
    colours = (red << 2 * _COLOUR_BITS) | (green << _COLOUR_BITS) | blue
    counts = np.bincount(colours.ravel(), minlength=1 << 3 * _COLOUR_BITS)
    return np.asarray(counts / colours.size, np.float64)


def is_cut(previous: Reduced | None, current: Reduced, flow: npt.NDArray[np.float32]) -> bool:
    """Whether a frame is of another scene than the one before it; without a previous frame it is not.

    Args: as for `explained_contrast`.
    """
    if previous is None:
        return False
    excess = max(0.0, common_colours(previous, current) - _MAX_COMMON_COLOURS)
    return explained_contrast(previous.grey, current.grey, flow) < MIN_EXPLAINED - _SLOPE * excess


def common_colours(one: Reduced, other: Reduced) -> float:
    """Share of the pixels, 0 to 1, for which there is one of the same colour in the other image."""
    return float(np.minimum(one.colours, other.colours).sum())


def explained_contrast(previous: Grey, current: Grey, flow: npt.NDArray[np.float32]) -> float:
    """How well the previous frame, warped by the flow, explains the contrast of a frame: -1 to 1.

    The covariance of each block of both images relative to the mean of their variances (the contrast and structure of
    SSIM, which does not depend on brightness, and little on gain); of these the quantile, by contrast, that 30 % of it
    exceed. Flow also maps parts of unrelated images onto one another, but not so many of them.

    Args:
        previous: grey image of the previous frame, of any size.
        current: grey image of the frame.
        flow: h×w×2, from each pixel of the frame to its position in the previous one, (x, y) in widths and heights.
    """
    height, width = (max(1, side // _REDUCTION // _BLOCK) * _BLOCK for side in current.shape)
    size = (width, height)
    now, before = (_resized(image, size).astype(np.float32) for image in (current, previous))
    offsets = _resized(flow, size)
    x = np.arange(width, dtype=np.float32) + offsets[..., 0] * width
    y = np.arange(height, dtype=np.float32)[:, None] + offsets[..., 1] * height
    warped = np.asarray(cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    mean_now, mean_warped = _block_means(now), _block_means(warped)
    variances = _block_means(now * now) - mean_now**2 + _block_means(warped * warped) - mean_warped**2
    variances = np.maximum(variances, 0).ravel()
    covariances = (_block_means(now * warped) - mean_now * mean_warped).ravel()
    explained = (2 * covariances + _NOISE_VARIANCE) / (variances + _NOISE_VARIANCE)
    order = np.argsort(explained)
    contrast = np.cumsum(np.sqrt(variances[order]))
    index = np.searchsorted(contrast, _QUANTILE * contrast[-1])
    return float(explained[order[min(index, len(order) - 1)]])


def _resized(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _block_means(image: _Map) -> _Map:
    height, width = image.shape
    return _resized(image, (width // _BLOCK, height // _BLOCK))
