"""Whether objects are present where their masks are: contrast of the mask, and better candidates elsewhere.

Both are compared with the mirrored first frame of each object. A mask with little contrast to its surroundings is a
guess. A mask with contrast may still be a leftover, or a part of an occluder: then more cells look like the object
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.motion_prior import search_radius
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import dilate, pool, window_sums


@dataclass(frozen=True, eq=False, slots=True)
class Presence:
    """Evidence that N objects are present in a frame, float, N each.

    Args:
        contrast: `ScoreStatistics.contrast` of the mask.
        likeness_inside: largest sum of the likeness of cells within the mask, over a square of the object's first area.
        likeness_elsewhere: the same of cells out of the object's search region and out of all masks.
    """

    contrast: Tensor
    likeness_inside: Tensor
    likeness_elsewhere: Tensor

    @classmethod
    def measure(
        cls,
        statistics: ScoreStatistics,
        scores: Tensor,
        likeness: Tensor,
        masks: Tensor,
        first_areas: Tensor,
        settings: Settings,
    ) -> Presence:
        """Presence of the objects in one frame.

        Args:
            statistics: of the scores.
            scores: float, N×rows×columns of the feature grid.
            likeness: float, N×rows×columns, 0 to 1 (`ScoreStatistics.likeness`).
            masks: bool, N×h×w of the low-res grid; they hardly overlap.
            first_areas: float, N, in low-res cells.
        """
        size = scores.shape[1:]
        radii = search_radius(torch.stack((masks.sum(dim=(1, 2)), first_areas)), settings)
        dilated, search_region = dilate(masks, radii)
        free = ~(search_region | masks.any(dim=0))
        inside, wider, free = pool(torch.cat((masks, dilated, free)).float(), size).chunk(3)
        cells = first_areas * (size.numel() / masks.shape[1:].numel())
        window_radii = ((cells.sqrt() - 1) / 2).round().clamp(min=0).long()
        # All cells that the mask touches count in full: a thin mask covers little of any cell.
        candidates = torch.cat((likeness * (inside > 0), likeness * free))
        likeness_inside, likeness_elsewhere = window_sums(candidates, window_radii.repeat(2)).amax(dim=(1, 2)).chunk(2)
        return cls(statistics.contrast(scores, inside, wider - inside), likeness_inside, likeness_elsewhere)

    def absent(self, first: Presence, were_absent: Tensor, settings: Settings) -> Tensor:
        """Objects that are not where their masks are, bool, N.

        An object with more likeness elsewhere than inside its mask in its first frame is never absent for its likeness
        elsewhere.

        Args:
            first: presence in the first frame of each object.
            were_absent: bool, N: objects that were absent in the previous frame.
        """
        min_contrast = torch.where(were_absent, settings.found_contrast, settings.lost_contrast).float()
        min_elsewhere = torch.lerp(first.likeness_elsewhere, first.likeness_inside, settings.found_contrast)
        is_elsewhere = (
            (self.likeness_elsewhere > min_elsewhere)
            & (first.likeness_elsewhere < first.likeness_inside)
            & (self.likeness_elsewhere > settings.elsewhere_ratio * self.likeness_inside)
        )
        return (self.contrast < min_contrast * first.contrast) | is_elsewhere

    def scaled(self, ratio: float) -> Presence:
        """The same on a grid with so many times as many cells."""
        return Presence(self.contrast, self.likeness_inside * ratio, self.likeness_elsewhere * ratio)

    def concat(self, other: Presence) -> Presence:
        """Presence of these objects, then of others."""
        return Presence(
            torch.cat((self.contrast, other.contrast)),
            torch.cat((self.likeness_inside, other.likeness_inside)),
            torch.cat((self.likeness_elsewhere, other.likeness_elsewhere)),
        )

    def select(self, rows: Tensor) -> Presence:
        """Presence of some of the objects."""
        return Presence(self.contrast[rows], self.likeness_inside[rows], self.likeness_elsewhere[rows])
