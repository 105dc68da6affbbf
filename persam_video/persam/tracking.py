"""The published method: PerSAM-F for video (PerSAM §3.2, §3.3 and the authors' script), for all objects at once.

The script's faults are not carried over: ids do not shift when an object vanishes, small objects have an embedding, and
an empty mask is an absent object. An object that was not found has no box in the next frame, only its location prior.
"""

from __future__ import annotations

import torch
from torch import Tensor

from persam_video.composition import owned
from persam_video.frame import Frame
from persam_video.persam.location_prior import confidence_maps, location_prior
from persam_video.persam.prompts import boxes_of, frame_prompts
from persam_video.persam.refinement import refine
from persam_video.persam.scale_weights import fit_scale_weights, weigh_scales
from persam_video.persam.target import learn_embeddings, most_covered
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import Prompts
from persam_video.sam.models import Sam
from persam_video.sam.preprocess import LOW_RES_SIZE, Geometry, to_grid


class PersamFTracking:
    """Finds objects by PerSAM-F.

    Args:
        sam: from `load_sam`.
    """

    def __init__(self, sam: Sam) -> None:
        self._sam = sam
        device = sam.device
        self._embeddings = torch.empty(0, 256, device=device)
        self._boxes = torch.empty(0, 4, device=device)
        self._has_box = torch.empty(0, dtype=torch.bool, device=device)
        self._scale_weights = torch.empty(0, 3, device=device)
        self._geometry: Geometry | None = None  # of the frame that the boxes are of

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn what each object looks like, and which scale it is. See `Method.add`."""
        device = features.tensor.device
        embeddings = learn_embeddings(features, masks)
        coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(device)
        boxes, has_box = boxes_of(most_covered(coverage))
        prompts = self._prompts(features, embeddings, boxes, has_box)
        counts = to_grid(ignored[None], LOW_RES_SIZE, features.geometry.side)[0].to(device) < 0.5
        scale_weights = fit_scale_weights(self._sam.decode(features, prompts).logits, coverage, counts)
        self._geometry = features.geometry
        self._embeddings = torch.cat((self._embeddings, embeddings))
        self._boxes = torch.cat((self._boxes, boxes))
        self._has_box = torch.cat((self._has_box, has_box))
        self._scale_weights = torch.cat((self._scale_weights, scale_weights))

    def find(self, frame: Frame, features: Features) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame. See `Method.find`."""
        has_box = self._has_box & (features.geometry == self._geometry)
        prompts = self._prompts(features, self._embeddings, self._boxes, has_box)
        answer = self._sam.decode(features, prompts)
        logits = weigh_scales(answer.logits, self._scale_weights)
        nothing = (logits <= 0).flatten(1).all(dim=1)
        logits = torch.where(nothing[:, None, None], answer.best()[0], logits)
        logits, scores = refine(self._sam.decode, features, prompts, logits)
        self._geometry = features.geometry
        self._boxes, self._has_box = boxes_of(owned(logits))
        return logits, scores

    @staticmethod
    def _prompts(features: Features, embeddings: Tensor, boxes: Tensor, has_box: Tensor) -> Prompts:
        points = location_prior(confidence_maps(features, embeddings))
        return frame_prompts(points, boxes, has_box, features)
