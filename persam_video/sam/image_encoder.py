"""SAM's image encoder on its device: one pass per frame, shared by all objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from persam_video.frame import Image
from persam_video.runtime.ambient import isolated
from persam_video.runtime.cuda_graphs import Capture, GraphedCallable
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, Geometry, to_input


@dataclass(frozen=True, eq=False, slots=True)
class Features:
    """Features of one image.

    Args:
        tensor: float32, 1×256×rows×columns of the feature grid (`Geometry.grid`): 1×256×36×64 for 16:9.
        geometry: size of the image and its part of the grids.
        pixels: the image itself, RGB, uint8, H×W×3, on the device of the tensor.
    """

    tensor: Tensor
    geometry: Geometry
    pixels: Tensor


def unit_features(features: Features) -> Tensor:
    """Features of unit length in every cell ("pixel-wisely L2-normalized", eq. 5), float, 256×rows×columns."""
    return F.normalize(features.tensor[0], dim=0)


class Encode(Protocol):
    """Encoder of images, RGB, uint8, H×W×3."""

    def __call__(self, image: Image) -> Features:
        """Features of one image."""

    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Features of several images of one size, encoded at once."""


class ImageEncoder:
    """Frozen image encoder on its device.

    Args:
        network: `TinyVitEncoder` or `VitEncoder`, prepared by its `for_inference`.
        device: device of the network.
        dtype: dtype of autocast; float32: no autocast.
        size: longer side of resized images, in pixels: one of `persam_video.options.SIZES`.
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
        self._encode = GraphedCallable(self.encode, capture)

    def __call__(self, image: Image) -> Features:
        """Features of one image."""
        return self.batch([image])[0]

    @isolated()
    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Features of several images of one size, encoded at once."""
        geometry = Geometry(images[0].shape[0], images[0].shape[1], self._size)
        pixels = self._to_device(images)
        tensor = self._encode(pixels)
        return [Features(tensor[i : i + 1], geometry, pixels[i]) for i in range(len(images))]

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
    def encode(self, images: Tensor) -> Tensor:
        """Features, float32, B×256×rows×columns of the feature grid, of images, uint8, B×H×W×3, on the device."""
        pixels = to_input(images, self._size)
        if self._exact_padding:
            pixels = F.pad(pixels, (0, self._size - pixels.shape[3], 0, self._size - pixels.shape[2]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_full = self._dtype == torch.float32
        with nullcontext() if is_full else torch.autocast(self._device.type, self._dtype):
            tensor: Tensor = self._network(pixels)
        rows, columns = Geometry(images.shape[1], images.shape[2], self._size).grid(FEATURE_SIZE)
        return tensor[:, :, :rows, :columns].float()
