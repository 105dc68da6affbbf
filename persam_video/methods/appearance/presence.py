"""Whether objects are where their masks are: how far these stand out, and what is seen elsewhere.

Both are compared with the frame in which the object was given, mirrored. A mask that hardly stands out from what is
around it is a guess. One that does may still be a rest, or a part of what hides the object: that shows when the object
is seen elsewhere, in full.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.motion_prior import reach
from persam_video.methods.appearance.score_statistics import Levels
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import near, pool, window_sums


@dataclass(frozen=True, eq=False, slots=True)
class Presence:
    """What speaks for the masks of N objects in a frame, and against them.

    Args:
        contrast: float, N: how far each stands out from what is around it (`Levels.contrast`).
        here: float, N: how many cells of the mask look like the object, in a square of the area that it had where it
            was given.
        elsewhere: float, N: how many do in such a square of what is beyond its reach and no object's: in the best.
    """

    contrast: Tensor
    here: Tensor
    elsewhere: Tensor

    @classmethod
    def measure(
        cls, levels: Levels, scores: Tensor, alike: Tensor, masks: Tensor, first_areas: Tensor, settings: Settings
    ) -> Presence:
        """What a frame shows.

        Args:
            levels: of the scores.
            scores: float, N×rows×columns of the features' grid.
            alike: float, the same, 0 to 1: how far each cell looks like the object.
            masks: bool, N×h×w of the low-res grid; hardly any two share a place.
            first_areas: float, N, in low-res cells.
        """
        size = scores.shape[1:]
        around, reached = near(masks, reach(torch.stack((masks.sum(dim=(1, 2)), first_areas)), settings))
        free = ~(reached | masks.any(dim=0))
        inside, wider, free = pool(torch.cat((masks, around, free)).float(), size).chunk(3)
        cells = first_areas * (size.numel() / masks.shape[1:].numel())
        radii = ((cells.sqrt() - 1) / 2).round().clamp(min=0).long()
        # Whole cells on both sides: of what is thinner than a cell, a mask covers little of any.
        shares = torch.cat((alike * (inside > 0), alike * free))
        here, elsewhere = window_sums(shares, radii.repeat(2)).amax(dim=(1, 2)).chunk(2)
        return cls(levels.contrast(scores, inside, wider - inside), here, elsewhere)

    def absent(self, first: Presence, were_absent: Tensor, settings: Settings) -> Tensor:
        """Which objects are not where their masks are, bool, N, by what their presence was where they were given.

        What is seen elsewhere counts only for objects that nothing there looked more like than they themselves.
        """
        least = torch.where(were_absent, settings.found, settings.lost)
        enough = torch.lerp(first.elsewhere, first.here, settings.found)
        enough_seen = (self.elsewhere > enough) & (first.elsewhere < first.here)
        return (self.contrast < least * first.contrast) | (
            enough_seen & (self.elsewhere > settings.elsewhere_times * self.here)
        )

    def join(self, other: Presence) -> Presence:
        """The presence of these objects, then of others."""
        pairs = ((self.contrast, other.contrast), (self.here, other.here), (self.elsewhere, other.elsewhere))
        return Presence(*(torch.cat(both) for both in pairs))

    def select(self, indices: Tensor) -> Presence:
        """The presence of some of the objects."""
        return Presence(self.contrast[indices], self.here[indices], self.elsewhere[indices])
