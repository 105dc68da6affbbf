"""What is seen of a frame beside its features, whatever is tracked: it can be worked out before the frame's turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.appearance.cells import Colours
from persam_video.appearance.motion import Grey, flow_from, small_grey
from persam_video.frame import Image
from persam_video.sam.models import Sam
from persam_video.sam.preprocess import FEATURE_SIZE, LOW_RES_SIZE, Geometry


@dataclass(frozen=True, eq=False, slots=True)
class Cues:
    """What is seen of a frame.

    Args:
        colours: of the cells of the features' grid.
        finer: of those of the low-res grid.
        flow: float, 2×h×w, from the frame before (`flow_from`).
        grey: the frame itself, for the flow of the next.
    """

    colours: Colours
    finer: Colours
    flow: Tensor
    grey: Grey

    @classmethod
    def of(cls, image: Image, geometry: Geometry, before: Grey | None) -> Cues:
        """Those of a frame, RGB, uint8, H×W×3, on the CPU; ``before`` is of the frame before it, if there is one."""
        grey = small_grey(image)
        colours, finer = Colours.on_grids(image, geometry, (FEATURE_SIZE, LOW_RES_SIZE))
        return cls(colours, finer, flow_from(before, grey), grey)

    def pinned(self) -> Cues:
        """The same where a GPU can copy it from without being waited for."""
        return self._with(Tensor.pin_memory)

    def to(self, device: torch.device) -> Cues:
        """The same on a device."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Cues:
        colours, finer = (Colours(change(each.mean), change(each.deviation)) for each in (self.colours, self.finer))
        return Cues(colours, finer, change(self.flow), self.grey)


def look_ahead(sam: Sam, image: Image, before: Image | None) -> Cues:
    """The cues of a frame, RGB, uint8, H×W×3, by the frame before it, for a model; it may be called in any thread."""
    geometry = Geometry(image.shape[0], image.shape[1], sam.size)
    cues = Cues.of(image, geometry, None if before is None else small_grey(before))
    return cues.pinned() if sam.device.type == "cuda" else cues
