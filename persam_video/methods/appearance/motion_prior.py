"""Where objects may be in a frame, by where they were in the one before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import near


@dataclass(frozen=True, eq=False, slots=True)
class Whereabouts:
    """What is known of where N objects are before a frame is looked at, on the low-res grid.

    Args:
        carried: float, N×h×w, 0 to 1: how surely each place was the object's in the frame before, as the flow has it.
        likely: bool, N×h×w: where that is likelier than not.
        near_by: bool, N×h×w: what the object can have reached beyond.
        around: float, N×h×w, 0 to 1: how surely each place within twice that is not the object's.
        areas: float, N, in cells, when last seen.
        absent: bool, N: objects that were not there in the frame before.
    """

    carried: Tensor
    likely: Tensor
    near_by: Tensor
    around: Tensor
    areas: Tensor
    absent: Tensor

    @classmethod
    def of(cls, carried: Tensor, areas: Tensor, absent: Tensor, settings: Settings) -> Whereabouts:
        """All that follows from these."""
        likely = carried > 0.5
        reached = reach(areas, settings)
        near_by, wider = near(likely, torch.stack((reached, 2 * reached)))
        return cls(carried, likely, near_by, wider * (1 - carried), areas, absent)


def reach(areas: Tensor, settings: Settings) -> Tensor:
    """How far objects of areas, float or int, can get in a frame beyond their flow, in low-res cells: int, the same
    shape."""
    return (settings.reach_cells + settings.reach_share * areas.sqrt()).long()
