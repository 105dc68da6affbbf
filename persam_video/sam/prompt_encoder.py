"""Prompts of all objects of a frame, and SAM's prompt encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from persam_video.sam.two_way_transformer import Guidance

POSITIVE = 1
NEGATIVE = 0
NO_POINT = -1


@dataclass(frozen=True, eq=False, slots=True)
class Prompts:
    """Prompts of N objects. Coordinates are (x, y) in pixels of SAM's input; as in SAM, (0, 0) is the centre of the
    first pixel.

    Args:
        points: float, N×P×2.
        labels: int, N×P: `POSITIVE`, `NEGATIVE`, or `NO_POINT` as padding of objects with fewer points.
        boxes: float, N×4, XYXY; None: no object has one.
        has_box: bool, N; None together with ``boxes``.
        masks: float, N×rows×columns of the low-res grid, logits of an earlier decode; None: no object has one.
        guidance: PerSAM's guidance of the decoder; None: none.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    has_box: Tensor | None = None
    masks: Tensor | None = None
    guidance: Guidance | None = None

    def split(self, size: int) -> Iterator[Prompts]:
        """The prompts of at most ``size`` objects at a time."""
        for start in range(0, len(self.points), size):
            part = slice(start, start + size)
            guidance = self.guidance
            yield Prompts(
                points=self.points[part],
                labels=self.labels[part],
                boxes=_slice(self.boxes, part),
                has_box=_slice(self.has_box, part),
                masks=_slice(self.masks, part),
                guidance=guidance and Guidance(_slice(guidance.attention, part), _slice(guidance.semantics, part)),
            )


def _slice(tensor: Tensor | None, part: slice) -> Tensor | None:
    return None if tensor is None else tensor[part]


class PromptEncoder(nn.Module):
    """``segment_anything``'s `PromptEncoder`, where only some objects may have a box.

    It gives the same numbers without indexing points by their labels, which would synchronise host and GPU.

    Args:
        encoder: ``segment_anything``'s module; its weights are shared.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def get_dense_pe(self) -> Tensor:
        """Positional encoding of every cell of the feature grid, float, 1×256×64×64."""
        dense: Tensor = self.encoder.get_dense_pe()
        return dense

    def forward(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Sparse and dense embeddings of prompts.

        Returns:
            sparse, float, N×T×256: tokens of the points, then of the box (one or two); and dense, float,
            N×256×rows×columns of the feature grid, or 1×256×1×1 without masks.
        """
        negative, positive, *corners = (embedding.weight for embedding in self.encoder.point_embeddings)
        no_point = self.encoder.not_a_point_embed.weight
        labels = prompts.labels[..., None]
        count = prompts.points.shape[1]
        coordinates = [prompts.points] if prompts.boxes is None else [prompts.points, prompts.boxes.reshape(-1, 2, 2)]
        encoded = self._encode(torch.cat(coordinates, dim=1))
        points = encoded[:, :count] + torch.where(labels == POSITIVE, positive, negative)
        points = torch.where(labels == NO_POINT, no_point, points)
        if prompts.boxes is None:
            box = no_point.expand(len(points), 1, -1)
        else:
            assert prompts.has_box is not None
            box = torch.where(prompts.has_box[:, None, None], encoded[:, count:] + torch.cat(corners), no_point)
        if prompts.masks is None:
            dense = self.encoder.no_mask_embed.weight[:, :, None, None]
        else:
            dense = self.encoder.mask_downscaling(prompts.masks[:, None])
        return torch.cat((points, box), dim=1), dense

    def _encode(self, points: Tensor) -> Tensor:
        """Positional encoding of points, float, N×P×2: N×P×256."""
        centres = points + 0.5
        encoded: Tensor = self.encoder.pe_layer.forward_with_coords(centres, self.encoder.input_image_size)
        return encoded
