"""SAM's image encoder: one pass per frame, shared by all objects."""

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
from persam_video.runtime.cuda_graphs import Capture, GraphedCallable
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, Geometry, to_input


@dataclass(frozen=True, eq=False, slots=True)
class Features:
    """One frame, encoded.

    Args:
        tensor: float32, 1×256×rows×columns of the features' grid (`Geometry.grid`): 1×256×36×64 for a frame of 16:9.
        geometry: the frame's size.
        pixels: the frame itself, RGB, uint8, H×W×3, where the tensor is.
    """

    tensor: Tensor
    geometry: Geometry
    pixels: Tensor


def unit_features(features: Features) -> Tensor:
    """The features, every cell's of length 1 ("pixel-wisely L2-normalized", eq. 5): float, 256×rows×columns."""
    return F.normalize(features.tensor[0], dim=0)


class Encode(Protocol):
    """What makes `Features` of pictures, RGB, uint8, H×W×3."""

    def __call__(self, image: Image) -> Features:
        """Encode one picture."""

    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Encode several pictures of one size at once."""


class ImageEncoder:
    """A frozen encoder on its device, from pictures to their `Features`.

    Args:
        network: `TinyVitEncoder` or `VitEncoder`.
        device: where the network is.
        dtype: what it computes in.
        size: what the longer side of every picture becomes, in pixels: one of `persam_video.options.SIZES`.
        exact_padding: pad every picture with zeros to a square, as SAM does, and crop the features to the grid.
            They are then SAM's own, which have seen the padding; without it they differ a little near it, for half
            the work at 16:9.
        capture: for `GraphedCallable`.
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
        """Encode one picture."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Encode several pictures of one size at once."""
        geometry = Geometry(images[0].shape[0], images[0].shape[1], self._size)
        # Pinned, so that the copy to a GPU is not waited for.
        pinned = self._device.type == "cuda"
        pictures = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=pinned)
        np.stack(images, out=pictures.numpy())
        pictures = pictures.to(self._device, non_blocking=True)
        tensor = self._encode(pictures)
        return [Features(tensor[i : i + 1], geometry, pictures[i]) for i in range(len(images))]

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """The features' tensor of pictures, B×H×W×3, that are on the device: B×256×rows×columns."""
        pixels = to_input(pictures, self._size)
        if self._exact_padding:
            pixels = F.pad(pixels, (0, self._size - pixels.shape[3], 0, self._size - pixels.shape[2]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_full = self._dtype == torch.float32
        with nullcontext() if is_full else torch.autocast(self._device.type, self._dtype):
            tensor: Tensor = self._network(pixels)
        rows, columns = Geometry(pictures.shape[1], pictures.shape[2], self._size).grid(FEATURE_SIZE)
        return tensor[:, :, :rows, :columns].float()
