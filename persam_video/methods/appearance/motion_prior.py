"""Motion prior: where objects may be in a frame, from their masks in the previous one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import dilate


@dataclass(frozen=True, eq=False, slots=True)
class MotionPrior:
    """Propagated masks of N objects on the low-res grid, and the regions around them.

    Args:
        propagated: float, N×h×w, 0 to 1: probabilities of the previous frame, warped by the optical flow.
        propagated_mask: bool, N×h×w: where these are above one half.
        search_region: bool, N×h×w: the mask dilated by the search radius.
        background_ring: float, N×h×w, 0 to 1: probability of the background within twice the search radius, 0 beyond.
        areas: float, N, in cells, when last visible.
        absent: bool, N: objects that were absent in the previous frame.
    """

    propagated: Tensor
    propagated_mask: Tensor
    search_region: Tensor
    background_ring: Tensor
    areas: Tensor
    absent: Tensor

    @classmethod
    def of(cls, propagated: Tensor, areas: Tensor, absent: Tensor, settings: Settings) -> MotionPrior:
        """Motion prior of propagated probabilities."""
        mask = propagated > 0.5
        radii = search_radius(areas, settings)
        search_region, wider = dilate(mask, torch.stack((radii, 2 * radii)))
        return cls(propagated, mask, search_region, wider * (1 - propagated), areas, absent)


def search_radius(areas: Tensor, settings: Settings) -> Tensor:
    """Distance that objects can move in a frame beyond their flow, int, in low-res cells, of the shape of the areas.

    Args:
        areas: float or int, in low-res cells.
    """
    return (settings.search_radius_cells + settings.search_radius_share * areas.sqrt()).long()
