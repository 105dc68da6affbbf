"""What is seen of a frame beside its features, whatever is tracked: it can be worked out before the frame's turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.appearance.cells import pixels_of
from persam_video.appearance.motion import Grey, flow_from
from persam_video.frame import Image
from persam_video.sam.models import Sam


@dataclass(frozen=True, eq=False, slots=True)
class Cues:
    """What is seen of a frame.

    Args:
        pixels: the frame itself, RGB, uint8, H×W×3.
        flow: float, 2×h×w, from the frame before (`flow_from`).
        grey: what the flow of the next frame needs of this one.
    """

    pixels: Tensor
    flow: Tensor
    grey: Grey

    @classmethod
    def of(cls, image: Image, grey: Grey, before: Grey | None) -> Cues:
        """Those of a frame, RGB, uint8, H×W×3, on the CPU; ``before`` is of the frame before it, if there is one."""
        return cls(pixels_of(image), flow_from(before, grey), grey)

    def pinned(self) -> Cues:
        """The same where a GPU can copy it from without being waited for."""
        return self._with(Tensor.pin_memory)

    def to(self, device: torch.device) -> Cues:
        """The same on a device."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Cues:
        return Cues(change(self.pixels), change(self.flow), self.grey)


def look_ahead(sam: Sam, image: Image, grey: Grey, before: Grey | None) -> Cues:
    """The cues of a frame, RGB, uint8, H×W×3, for a model; it may be called in any thread."""
    cues = Cues.of(image, grey, before)
    return cues.pinned() if sam.device.type == "cuda" else cues
