"""The tracker: all objects of a video, one frame after another. The only thing that remembers anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persam_video.frame import IGNORE_ID, Frame, FrameResult, Image, LabelMap
from persam_video.masks.first_frame import check_label_map
from persam_video.persam.location_prior import confidence_maps, location_prior
from persam_video.persam.matching import PRESENCE, best_matching, match_maps, matching_share
from persam_video.persam.prompts import boxes_of, frame_prompts
from persam_video.persam.refinement import refine
from persam_video.persam.scale_weights import fit_scale_weights, weigh_scales
from persam_video.persam.target import learn_targets, most_covered
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import Prompts
from persam_video.sam.models import Sam
from persam_video.sam.preprocess import LOW_RES_SIZE, to_frame, to_grid

_OBJECTS_AT_A_TIME = 16
"""How many are resized to the frame at once: with 254 objects the logits of a 4K frame would fill 8 GB."""

_NOWHERE = -10.0
"""The logit of an absent object, everywhere."""


class Tracker:
    """Tracks the objects of a first frame by PerSAM-F.

    The objects are personalised when the tracker is made. After that each `step` takes the next frame. Ids never
    shift: an object that is not seen stays in the tracker and can come back.

    Args:
        sam: from `load_sam`.
        frame: the first frame: a `Frame`, or a picture, RGB, uint8, H×W×3.
        label_map: its masks: H×W, integer object ids from 1 to 254, 0 = background, 255 = ignore; or bool for one
            object.
        features: the first frame's features, if they are at hand already.
    Raises:
        FirstMaskError: the label map is not of the frame's size, or holds no object or no valid ids.
    """

    def __init__(
        self, sam: Sam, frame: Frame | Image, label_map: npt.ArrayLike, *, features: Features | None = None
    ) -> None:
        self._sam = sam
        self._index = 0
        first = self._as_frame(frame)
        given = check_label_map(np.asarray(label_map), width=first.width, height=first.height)
        self.object_ids: tuple[int, ...] = tuple(int(i) for i in np.unique(given) if i not in (0, IGNORE_ID))
        self._table = np.array([0, *self.object_ids], dtype=np.uint8)
        if features is None:
            features = sam.encode(first.image)
        self._personalise(features, given)
        self.first_result = self._result(first, np.where(given == IGNORE_ID, 0, given).astype(np.uint8), None)

    def step(self, frame: Frame | Image, *, features: Features | None = None) -> FrameResult:
        """Find all objects in the next frame.

        Args:
            frame: a `Frame`, or a picture, RGB, uint8, H×W×3, of any size.
            features: the frame's features, if they are at hand already.
        """
        self._index += 1
        frame = self._as_frame(frame)
        if features is None:
            features = self._sam.encode(frame.image)
        matches = match_maps(features, self._targets)
        prompts = self._prompts(features, matches)
        answer = self._sam.decode(features, prompts)
        logits = weigh_scales(answer.logits, self._scale_weights)
        nothing = (logits <= 0).flatten(1).all(dim=1)
        logits = torch.where(nothing[:, None, None], answer.best()[0], logits)
        choose = partial(best_matching, matches=matches)
        logits, scores = refine(self._sam.decode, features, prompts, logits, choose)
        present = matching_share(logits > 0, matches) >= PRESENCE
        logits = torch.where(present[:, None, None], logits, _NOWHERE)
        self._remember(logits, features)
        owners = compose(to_frame(part, features.geometry) for part in torch.split(logits, _OBJECTS_AT_A_TIME))
        return self._result(frame, self._table[owners.cpu().numpy()], scores.tolist())

    def _personalise(self, features: Features, given: LabelMap) -> None:
        """Learn from the first frame what each object looks like, and which scale it is."""
        device = features.tensor.device
        masks = torch.stack([torch.from_numpy(given == i) for i in self.object_ids])
        ignored = torch.from_numpy(given == IGNORE_ID)
        self._targets = learn_targets(features, masks, ignored)
        coverage = to_grid(masks, LOW_RES_SIZE).to(device)
        self._boxes, self._has_box = boxes_of(most_covered(coverage))
        prompts = self._prompts(features, match_maps(features, self._targets))
        counts = features.geometry.inside(LOW_RES_SIZE, device)
        counts &= (to_grid(ignored[None], LOW_RES_SIZE)[0] < 0.5).to(device)
        self._scale_weights = fit_scale_weights(self._sam.decode(features, prompts).logits, coverage, counts)

    def _prompts(self, features: Features, matches: Tensor) -> Prompts:
        maps = confidence_maps(features, self._targets.embeddings)
        return frame_prompts(location_prior(maps, matches), self._boxes, self._has_box, features)

    def _remember(self, logits: Tensor, features: Features) -> None:
        owners = compose([logits]).where(features.geometry.inside(LOW_RES_SIZE, logits.device), 0)
        number = torch.arange(1, len(logits) + 1, device=logits.device)
        self._boxes, self._has_box = boxes_of(owners == number[:, None, None])

    def _result(self, frame: Frame, label_map: LabelMap, scores: Sequence[float] | None) -> FrameResult:
        areas = np.bincount(label_map.ravel(), minlength=256)
        visible = {i: bool(areas[i]) for i in self.object_ids}
        given = dict(zip(self.object_ids, scores, strict=True)) if scores is not None else dict.fromkeys(visible, 1.0)
        return FrameResult(
            frame=frame,
            label_map=label_map,
            scores={i: min(max(given[i], 0.0), 1.0) if visible[i] else 0.0 for i in self.object_ids},
            visible=visible,
        )

    def _as_frame(self, frame: Frame | Image) -> Frame:
        if isinstance(frame, Frame):
            return frame
        return Frame(index=self._index, image=frame, name=f"{self._index:05d}")


def compose(parts: Iterable[Tensor]) -> Tensor:
    """Which object each place belongs to: the one with the highest logit, if that is positive.

    Args:
        parts: the logits of all objects in order, some at a time: float, n×H×W each.
    Returns:
        int64, H×W: 0 = background, 1, 2, … = the objects.
    """
    highest: Tensor | float = 0.0
    owner: Tensor | int = 0
    count = 0
    for logits in parts:
        top, which = logits.max(dim=0)
        better = top > highest
        highest = torch.where(better, top, highest)
        owner = torch.where(better, which + 1 + count, owner)
        count += len(logits)
    return torch.as_tensor(owner)
