"""Shapes of the appearance method's state (`Memory.state`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor

from persam_video.methods.state_check import Shape, state_fault

_OF_EACH_OBJECT = (
    "areas",
    "foreground_score_mean",
    "background_score_mean",
    "foreground_score_std",
    "background_score_std",
    "contrast",
    "likeness_inside",
    "likeness_elsewhere",
)
_MAX_AREA = 256 * 256


def appearance_state_fault(state: Mapping[str, Tensor], objects: int) -> str | None:
    """What is wrong with a state, in a few words; None: nothing.

    Args:
        objects: number of objects.
    """
    fault = state_fault(state, _shapes(state), {"objects": objects})
    if fault is not None:
        return fault
    groups = [tensor for name, tensor in state.items() if name.endswith("_mean_coverage")]
    if sum(map(len, groups)) != objects:
        return f"its classifiers are of {sum(map(len, groups))} objects, not {objects}"
    stds = (state["foreground_score_std"], state["background_score_std"])
    areas = state["areas"]
    if any((each < 0).any() for each in stds) or (areas <= 0).any() or (areas > _MAX_AREA).any():
        return "an area or a deviation is out of range"
    return None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = dict.fromkeys(_OF_EACH_OBJECT, ("objects",))
    shapes |= {"residual_landmarks": ("objects", "residual landmarks", 11)}
    shapes |= {"residual_weights": ("objects", "residual landmarks")}
    found = itertools.takewhile(lambda group: f"classifier_{group}_centre" in state, itertools.count())
    for group in range(max(1, len(list(found)))):
        name, landmarks, members = f"classifier_{group}", f"landmarks {group}", f"members {group}"
        shapes |= {
            f"{name}_centre": (256,),
            f"{name}_landmarks": (landmarks, 262),
            f"{name}_whitening": (landmarks, landmarks),
            f"{name}_mean_coverage": (members,),
            f"{name}_gram": (landmarks, landmarks),
            f"{name}_targets": (landmarks, members),
        }
    return shapes
