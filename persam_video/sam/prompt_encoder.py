"""What SAM is asked, and how its prompt encoder turns that into tokens and a map, for all objects at once."""

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
    """What SAM is asked, for N objects at once. Coordinates are (x, y) in pixels of the 1024×1024 input, as SAM
    counts them: the centre of the first pixel is (0, 0).

    Args:
        points: float, N×P×2.
        labels: int, N×P: `POSITIVE`, `NEGATIVE`, or `NO_POINT` where this object has no such point.
        boxes: float, N×4, XYXY; None if no object has one.
        has_box: bool, N; None together with ``boxes``.
        masks: float, N×rows×columns of the low-res grid, logits of an earlier decode, or None.
        guidance: what draws SAM to the objects, or None.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    has_box: Tensor | None = None
    masks: Tensor | None = None
    guidance: Guidance | None = None

    def split(self, size: int) -> Iterator[Prompts]:
        """The same prompts for at most ``size`` objects at a time."""
        for start in range(0, len(self.points), size):
            part = slice(start, start + size)
            guidance = self.guidance
            yield Prompts(
                points=self.points[part],
                labels=self.labels[part],
                boxes=_of(self.boxes, part),
                has_box=_of(self.has_box, part),
                masks=_of(self.masks, part),
                guidance=guidance and Guidance(_of(guidance.attention, part), _of(guidance.semantics, part)),
            )


def _of(tensor: Tensor | None, part: slice) -> Tensor | None:
    return None if tensor is None else tensor[part]


class PromptEncoder(nn.Module):
    """``segment_anything``'s `PromptEncoder`, the same numbers without picking points by their labels, for which a GPU
    would have to be waited for; and objects may lack a box that others have.

    Args:
        encoder: with its weights, which are shared.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def places(self) -> Tensor:
        """The encoding of every place of the features' square: float, 1×256×64×64."""
        dense: Tensor = self.encoder.get_dense_pe()
        return dense

    def forward(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Encode what is asked.

        Returns:
            tokens, float, N×T×256, the last two of which are the box's, and what is known of every place: float,
            N×256×rows×columns of the features' grid, or 1×256×1×1 where that is nothing.
        """
        negative, positive, *corners = (embedding.weight for embedding in self.encoder.point_embeddings)
        none = self.encoder.not_a_point_embed.weight  # SAM's token for no point
        labels = prompts.labels[..., None]
        count = prompts.points.shape[1]
        places = [prompts.points] if prompts.boxes is None else [prompts.points, prompts.boxes.reshape(-1, 2, 2)]
        encoded = self._encode(torch.cat(places, dim=1))
        points = encoded[:, :count] + torch.where(labels == POSITIVE, positive, negative)
        points = torch.where(labels == NO_POINT, none, points)
        if prompts.boxes is None:
            box = none.expand(len(points), 1, -1)
        else:
            assert prompts.has_box is not None
            box = torch.where(prompts.has_box[:, None, None], encoded[:, count:] + torch.cat(corners), none)
        if prompts.masks is None:
            dense = self.encoder.no_mask_embed.weight[:, :, None, None]
        else:
            dense = self.encoder.mask_downscaling(prompts.masks[:, None])
        return torch.cat((points, box), dim=1), dense

    def _encode(self, points: Tensor) -> Tensor:
        centres = points + 0.5
        encoded: Tensor = self.encoder.pe_layer.forward_with_coords(centres, self.encoder.input_image_size)
        return encoded
