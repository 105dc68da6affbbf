"""PerSAM and PerSAM-F on a video (§3.2, §3.3 and the authors' script), all objects in one batch.

Unlike the script, it keeps ids fixed when an object vanishes, gives small objects an embedding, and takes an empty mask
for an absent object. An object that was absent in the previous frame, or is looked for after a cut to another scene, is
prompted by its location prior alone. Nothing tells whether it is in that scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor

from persam_video.frame import Frame, Image
from persam_video.methods.cuts import Reduced
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.methods.persam.segmentation import PersamConfig, personalise, segment
from persam_video.methods.persam.target import Targets
from persam_video.sam.boxes import boxes_of_masks
from persam_video.sam.grids import LOW_RES_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import argmax_masks
from persam_video.sam.window import Window, move_boxes


class PersamMethod:
    """PerSAM or PerSAM-F as a tracking method. See `Method` for the methods.

    Args:
        sam: from `load_sam`.
        config: `PERSAM`, `PERSAM_F` or another.
    """

    windows = False  # as published

    def __init__(self, sam: Sam, config: PersamConfig) -> None:
        self._sam = sam
        self._config = config
        self._targets = Targets.empty(sam.device)
        self._boxes = torch.empty(0, 4, dtype=torch.float32, device=sam.device)  # of the previous frame
        self._has_box = torch.empty(0, dtype=torch.bool, device=sam.device)
        self._window: Window | None = None  # of the previous frame

    def reduce(self, image: Image) -> Reduced:
        """Reduced image (`reduced_image`)."""
        return reduced_image(image)

    def prepare(self, reduced: Reduced, previous: Reduced | None) -> FlowInputs:
        """Whether a frame follows a cut, for which the optical flow is needed."""
        return FlowInputs.of(previous, reduced, pinned=self._sam.device.type == "cuda")

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Personalise further objects."""
        window = features.window
        masks, ignored = window.crop_masks(masks), window.crop(ignored)
        coverage = to_grid(masks, LOW_RES_SIZE, window.side).to(features.tensor.device)
        boxes, has_box = boxes_of_masks(most_covered(coverage))
        added = personalise(self._sam.decode, features, masks, ignored, self._config, (boxes, has_box))
        self._targets = Targets.concatenate((self._targets, added))
        self._boxes = torch.cat((self._boxes_in(window), boxes))
        self._window = window
        self._has_box = torch.cat((self._has_box, has_box))

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all objects but those of some rows."""
        kept = torch.tensor(rows, dtype=torch.long, device=self._boxes.device)
        self._targets = self._targets.select(kept)
        self._boxes, self._has_box = self._boxes[kept], self._has_box[kept]

    def state(self) -> dict[str, Tensor]:
        """Targets of all objects."""
        return {field.name: getattr(self._targets, field.name) for field in fields(Targets)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Start with the objects of a `state`, all of them absent."""
        self._targets = Targets(**{field.name: state[field.name] for field in fields(Targets)})
        count, device = len(self._targets.embeddings), self._boxes.device
        self._boxes = torch.zeros(count, 4, dtype=torch.float32, device=device)
        self._has_box = torch.zeros(count, dtype=torch.bool, device=device)

    def find(self, frame: Frame, features: Features, prepared: FlowInputs) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame."""
        window = features.window
        is_next = ~prepared.cut.to(self._boxes.device, non_blocking=True) & _is_of_one_size(self._window, window)
        boxes = (self._boxes_in(window), self._has_box & is_next)
        logits, scores = segment(self._sam.decode, features, self._targets, self._config, boxes)
        self._window = window
        self._boxes, self._has_box = boxes_of_masks(argmax_masks(logits))
        return logits, scores

    def _boxes_in(self, window: Window) -> Tensor:
        """Boxes in the previous frame, in input pixels of another window."""
        if self._window in (None, window):
            return self._boxes
        return move_boxes(self._boxes, self._window, window)


def _is_of_one_size(one: Window | None, other: Window) -> bool:
    """Whether two windows are of frames of the same size."""
    return one is not None and (one.frame_width, one.frame_height) == (other.frame_width, other.frame_height)
