"""What is seen of a frame beside its features, whatever is tracked: it can be worked out before the frame's turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from persam_video.methods.appearance.flow import Grey, flow_from
from persam_video.sam.models import Sam


@dataclass(frozen=True, eq=False, slots=True)
class Cues:
    """What is seen of a frame.

    Args:
        flow: float, 2×h×w, on the CPU, from the frame before (`flow_from`).
        grey: what the flow of the next frame needs of this one.
    """

    flow: Tensor
    grey: Grey

    @classmethod
    def of(cls, grey: Grey, before: Grey | None) -> Cues:
        """Those of a frame; ``before`` is of the frame before it, if there is one."""
        return cls(flow_from(before, grey), grey)


def look_ahead(sam: Sam, grey: Grey, before: Grey | None) -> Cues:
    """The cues of a frame for a model; it may be called in any thread."""
    cues = Cues.of(grey, before)
    # Where a GPU can copy it from without being waited for.
    return replace(cues, flow=cues.flow.pin_memory()) if sam.device.type == "cuda" else cues
