"""Masks by off-the-shelf SAM, from boxes and points (PerSAM, Table 6): where nobody has drawn any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from persam_video.errors import AnnotationError
from persam_video.frame import Image, LabelMap
from persam_video.inputs.annotations import Given
from persam_video.inputs.prompts import ObjectPrompt, check_prompts
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import to_label_map
from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, Prompts

_TIMES = 2
"""SAM is asked again with its own mask, which is a little better (J of boxes in twelve pictures: .78, then .80)."""


def segment_prompts(sam: Sam, picture: Image, prompts: Iterable[ObjectPrompt]) -> LabelMap:
    """The masks that SAM makes of boxes and points.

    Args:
        sam: from `load_sam`.
        picture: RGB, uint8, H×W×3.
        prompts: of its objects.
    Returns:
        uint8, H×W: the objects' ids; where two masks overlap, the surer one has the pixels.
    Raises:
        AnnotationError: as `check_prompts`; or SAM finds nothing there.
    """
    height, width = picture.shape[:2]
    checked = check_prompts(prompts, width=width, height=height)
    features = sam.encode(picture)
    # One point may mean a part or the whole: SAM's best of three. A box, or several points, leave less doubt.
    doubtful = torch.tensor([each.box is None and len(each.points) == 1 for each in checked], device=sam.device)
    asked = _prompts(checked, features)
    for _ in range(_TIMES):
        answer = sam.decode(features, asked)
        logits = torch.where(doubtful[:, None, None], answer.best()[0], answer.single)
        asked = replace(asked, masks=logits)
    label_map = to_label_map(logits, features.geometry, [each.object_id for each in checked])
    for each in checked:
        if not (label_map == each.object_id).any():
            raise AnnotationError(f"object {each.object_id}: SAM finds nothing there that is not another object's")
    return label_map


def first_label_map(sam: Sam, picture: Image, given: Given) -> LabelMap | None:
    """The first frame's masks; SAM makes those of boxes and points, where the others leave room.

    Raises:
        AnnotationError: SAM finds nothing there.
    """
    if not given.prompts:
        return given.label_map
    made = segment_prompts(sam, picture, given.prompts)
    return made if given.label_map is None else np.where(given.label_map == 0, made, given.label_map)


def _prompts(checked: tuple[ObjectPrompt, ...], features: Features) -> Prompts:
    """In pixels of SAM's input; objects with fewer points than others get `NO_POINT`."""
    device = features.tensor.device
    scale = features.geometry.side / features.geometry.longer_side
    most = max(len(each.points) for each in checked)
    points = torch.zeros(len(checked), most, 2)
    labels = torch.full((len(checked), most), NO_POINT)
    for row, each in enumerate(checked):
        for column, (x, y, positive) in enumerate(each.points):
            points[row, column] = torch.tensor([x, y])
            labels[row, column] = POSITIVE if positive else NEGATIVE
    boxes = torch.tensor([each.box or (0.0, 0.0, 0.0, 0.0) for each in checked])
    has_box = torch.tensor([each.box is not None for each in checked])
    asked = Prompts((points * scale - 0.5).to(device), labels.to(device))
    if not has_box.any():
        return asked
    return Prompts(asked.points, asked.labels, (boxes * scale - 0.5).to(device), has_box.to(device))
