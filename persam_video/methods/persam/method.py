"""The published methods on a video: PerSAM and PerSAM-F (§3.2, §3.3 and the authors' script), all objects at once.

The script's faults are not carried over: ids do not shift when an object vanishes, small objects have an embedding, and
an empty mask is an absent object. An object that was not found has no box in the next frame, only its location prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor

from persam_video.frame import Frame
from persam_video.methods.persam.segmentation import Recipe, personalise, segment
from persam_video.methods.persam.target import Targets
from persam_video.sam.boxes import boxes_of_masks
from persam_video.sam.grids import LOW_RES_SIZE, Geometry, most_covered, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import argmax_masks


class PersamMethod:
    """Finds objects by PerSAM or PerSAM-F.

    Args:
        sam: from `load_sam`.
        recipe: `PERSAM` or `PERSAM_F`, or another.
    """

    def __init__(self, sam: Sam, recipe: Recipe) -> None:
        self._sam = sam
        self._recipe = recipe
        self._targets = Targets.of_none(sam.device)
        self._boxes = torch.empty(0, 4, device=sam.device)
        self._has_box = torch.empty(0, dtype=torch.bool, device=sam.device)
        self._geometry: Geometry | None = None  # of the frame that the boxes are of

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn what each object looks like, and which scale it is. See `Method.add`."""
        coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(features.tensor.device)
        boxes, has_box = boxes_of_masks(most_covered(coverage))
        learned = personalise(self._sam.decode, features, masks, ignored, self._recipe, (boxes, has_box))
        self._targets = Targets.join((self._targets, learned))
        self._geometry = features.geometry
        self._boxes = torch.cat((self._boxes, boxes))
        self._has_box = torch.cat((self._has_box, has_box))

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the objects. See `Method.keep`."""
        kept = torch.tensor(places, dtype=torch.long, device=self._boxes.device)
        self._targets = self._targets.select(kept)
        self._boxes, self._has_box = self._boxes[kept], self._has_box[kept]

    def state(self) -> dict[str, Tensor]:
        """What is known of the objects. See `Method.state`."""
        return {each.name: getattr(self._targets, each.name) for each in fields(Targets)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Begin with what is known from elsewhere. See `Method.restore`."""
        self._targets = Targets(**{each.name: state[each.name] for each in fields(Targets)})
        count, device = len(self._targets.embeddings), self._boxes.device
        self._boxes = torch.zeros(count, 4, device=device)
        self._has_box = torch.zeros(count, dtype=torch.bool, device=device)

    def find(self, frame: Frame, features: Features, cues: None = None) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame. See `Method.find`."""
        has_box = self._has_box & (features.geometry == self._geometry)
        logits, scores = segment(self._sam.decode, features, self._targets, self._recipe, (self._boxes, has_box))
        self._geometry = features.geometry
        self._boxes, self._has_box = boxes_of_masks(argmax_masks(logits))
        return logits, scores
