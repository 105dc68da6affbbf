"""Masks from boxes and points by SAM as it is (PerSAM, Table 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from persam_video.errors import AnnotationError
from persam_video.frame import Image, LabelMap
from persam_video.inputs.prompts import ObjectPrompt, check_prompts
from persam_video.runtime.ambient import isolated
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import to_label_map
from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, Prompts

_DECODES = 2
"""The second decode, prompted with the first one's mask too, is slightly better (J of boxes in 12 images: .80, not
.78)."""


@isolated()
def segment_prompts(sam: Sam, image: Image, prompts: Iterable[ObjectPrompt]) -> LabelMap:
    """Label map of an image that SAM makes from boxes and points, uint8, H×W.

    Where masks overlap, the pixel belongs to the one with the higher logit.

    Args:
        sam: from `load_sam`.
        image: RGB, uint8, H×W×3.
        prompts: of the objects in it.
    Raises:
        AnnotationError: a prompt is invalid (`check_prompts`), or an object has no pixel.
    """
    if isinstance(prompts, ObjectPrompt):
        prompts = [prompts]
    height, width = image.shape[:2]
    checked = check_prompts(prompts, width=width, height=height)
    if not checked:
        raise AnnotationError("no object is given: there is neither a box nor a point")
    features = sam.encode(image)
    # A single point is ambiguous (whole, part or subpart): SAM's best of three masks. Otherwise its single mask.
    ambiguous = torch.tensor([each.box is None and len(each.points) == 1 for each in checked], device=sam.device)
    sam_prompts = _to_input(checked, features)
    for _ in range(_DECODES):
        output = sam.decode(features, sam_prompts)
        logits = torch.where(ambiguous[:, None, None], output.best()[0], output.single_logits)
        sam_prompts = replace(sam_prompts, masks=logits)
    label_map = to_label_map(logits, features.geometry, [each.object_id for each in checked])
    for each in checked:
        if not (label_map == each.object_id).any():
            raise AnnotationError(
                f"object {each.object_id}: SAM's mask is empty or covered by other objects; give another box or points"
            )
    return label_map


def _to_input(prompts: tuple[ObjectPrompt, ...], features: Features) -> Prompts:
    """SAM's prompts, in pixels of its input; objects with fewer points than others are padded with `NO_POINT`."""
    device = features.tensor.device
    scale = features.geometry.side / features.geometry.longer_side
    max_points = max(len(each.points) for each in prompts)
    points = torch.zeros(len(prompts), max_points, 2, dtype=torch.float32)
    labels = torch.full((len(prompts), max_points), NO_POINT)
    for row, each in enumerate(prompts):
        for column, (x, y, positive) in enumerate(each.points):
            points[row, column] = torch.tensor([x, y], dtype=torch.float32)
            labels[row, column] = POSITIVE if positive else NEGATIVE
    sam_prompts = Prompts((points * scale - 0.5).to(device), labels.to(device))
    has_box = torch.tensor([each.box is not None for each in prompts])
    if not has_box.any():
        return sam_prompts
    boxes = torch.tensor([each.box or (0.0, 0.0, 0.0, 0.0) for each in prompts], dtype=torch.float32)
    return replace(sam_prompts, boxes=(boxes * scale - 0.5).to(device), has_box=has_box.to(device))
