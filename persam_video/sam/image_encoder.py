"""SAM's image encoder on its device: one pass per frame, shared by all objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from persam_video.frame import Image
from persam_video.runtime.ambient import isolated
from persam_video.runtime.cuda_graphs import Capture, GraphedCallable
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, Geometry, to_input
from persam_video.sam.window import Window

_MAX_CAPTURED_SIDES = 8


@dataclass(frozen=True, eq=False, slots=True)
class Features:
    """Features of one image, or of a window of it.

    Args:
        tensor: float32, 1×256×rows×columns of the feature grid (`Geometry.grid`): 1×256×36×64 for 16:9.
        window: part of the image that was encoded.
        pixels: the image itself within the window, RGB, uint8, H×W×3, on the device of the tensor.
    """

    tensor: Tensor
    window: Window
    pixels: Tensor

    @property
    def geometry(self) -> Geometry:
        """Size of the window and its part of the grids."""
        return self.window.geometry


def unit_features(features: Features) -> Tensor:
    """Features of unit length in every cell ("pixel-wisely L2-normalized", eq. 5), float, 256×rows×columns."""
    return F.normalize(features.tensor[0], dim=0)


class Encode(Protocol):
    """Encoder of images, RGB, uint8, H×W×3."""

    def __call__(self, image: Image, window: Window | None = None) -> Features:
        """Features of one image, or of a window of it."""

    def batch(self, images: Sequence[Image], window: Window | None = None) -> list[Features]:
        """Features of several images of one size, or of the same window of each, encoded at once."""


class ImageEncoder:
    """Frozen image encoder on its device.

    Args:
        network: `TinyVitEncoder` or `VitEncoder`, prepared by its `for_inference`.
        device: device of the network.
        dtype: dtype of autocast; float32: no autocast.
        size: longer side of resized images, in pixels: one of `persam_video.options.SIZES`. That of a window is its
            own.
        exact_padding: pad every image with zeros to a square, as SAM does, and crop the features to the grid. They are
            then SAM's own, which depend on the padding; without it they differ a little near it, for half the work at
            16:9.
        capture: capture function for `GraphedCallable`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        dtype: torch.dtype,
        size: int = INPUT_SIZE,
        exact_padding: bool = False,
        capture: Capture | None = None,
    ) -> None:
        self._network = network
        self._device = device
        self._dtype = dtype
        self._size = size
        self._exact_padding = exact_padding
        self._captured = lru_cache(maxsize=_MAX_CAPTURED_SIDES)(
            lambda side: GraphedCallable(partial(self.encode, side=side), capture)
        )

    def __call__(self, image: Image, window: Window | None = None) -> Features:
        """Features of one image, or of a window of it."""
        return self.batch([image], window)[0]

    @isolated()
    def batch(self, images: Sequence[Image], window: Window | None = None) -> list[Features]:
        """Features of several images of one size, or of the same window of each, encoded at once."""
        if window is None:
            window = Window.whole(images[0].shape, self._size)
        pixels = self._to_device([window.crop(image) for image in images])
        tensor = self._captured(window.side)(pixels)
        return [Features(tensor[i : i + 1], window, pixels[i]) for i in range(len(images))]

    def _to_device(self, images: Sequence[Image]) -> Tensor:
        """Images as a tensor, uint8, B×H×W×3, on the device; a single one shares its memory with it where it can."""
        image = images[0]
        shares = image.flags.c_contiguous and image.flags.writeable and min(image.strides) >= 0  # as of one column
        if self._device.type == "cpu" and len(images) == 1 and shares:
            return torch.from_numpy(image)[None]
        # Pinned memory, so that the copy to a GPU is asynchronous.
        pixels = torch.empty((len(images), *image.shape), dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        np.stack(images, out=pixels.numpy())
        return pixels.to(self._device, non_blocking=True)

    @torch.no_grad()
    def encode(self, images: Tensor, side: int | None = None) -> Tensor:
        """Features, float32, B×256×rows×columns of the feature grid, of images, uint8, B×H×W×3, on the device.

        Args:
            side: of `Geometry`; None: the encoder's size.
        """
        side = self._size if side is None else side
        pixels = to_input(images, side)
        if self._exact_padding:
            pixels = F.pad(pixels, (0, side - pixels.shape[3], 0, side - pixels.shape[2]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_full = self._dtype == torch.float32
        with nullcontext() if is_full else torch.autocast(self._device.type, self._dtype):
            tensor: Tensor = self._network(pixels)
        rows, columns = Geometry(images.shape[1], images.shape[2], side).grid(FEATURE_SIZE)
        return tensor[:, :, :rows, :columns].float()
