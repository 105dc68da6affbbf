"""The tracker: all objects of a video, one frame after another. The only thing that remembers anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persam_video.frame import IGNORE_ID, Frame, FrameResult, Image, LabelMap, ids_in
from persam_video.masks.first_frame import check_label_map
from persam_video.persam.location_prior import confidence_maps, location_prior
from persam_video.persam.matching import PRESENCE, best_matching, match_maps, matching_share
from persam_video.persam.prompts import boxes_of, frame_prompts
from persam_video.persam.refinement import refine
from persam_video.persam.scale_weights import fit_scale_weights, weigh_scales
from persam_video.persam.target import Targets, learn_targets, most_covered
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
    shift: an object that is not seen stays in the tracker and can come back. Objects may also be added in later frames.

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
        self._index = 0  # of the next frame, where it does not come with a number of its own
        self.object_ids: tuple[int, ...] = ()
        self._targets: list[Targets] = []  # of the frames in which objects appeared
        self._boxes = torch.empty(0, 4, device=sam.device)
        self._has_box = torch.empty(0, dtype=torch.bool, device=sam.device)
        self._scale_weights = torch.empty(0, 3, device=sam.device)
        first = self._as_frame(frame)
        given = check_label_map(np.asarray(label_map), width=first.width, height=first.height)
        self._add(features if features is not None else sam.encode(first.image), given, ids_in(given))
        self._index += 1
        self.first_result = self._result(first, np.where(given == IGNORE_ID, 0, given).astype(np.uint8), {})

    def step(
        self, frame: Frame | Image, *, features: Features | None = None, label_map: npt.ArrayLike | None = None
    ) -> FrameResult:
        """Find all objects in the next frame.

        Args:
            frame: a `Frame`, or a picture, RGB, uint8, H×W×3, of any size.
            features: the frame's features, if they are at hand already.
            label_map: masks of objects that appear in this frame, as in the first one; they are followed from here on.
                Ids that are tracked already do not count.
        Raises:
            FirstMaskError: the label map is not of the frame's size, or holds no object or no valid ids.
        """
        frame = self._as_frame(frame)
        given = None
        if label_map is not None:
            given = check_label_map(np.asarray(label_map), width=frame.width, height=frame.height)
        self._index += 1
        if features is None:
            features = self._sam.encode(frame.image)
        logits, scores = self._find(features)
        known = dict(zip(self.object_ids, scores.tolist(), strict=True))
        owners = compose(to_frame(part, features.geometry) for part in torch.split(logits, _OBJECTS_AT_A_TIME))
        found = np.array([0, *self.object_ids], dtype=np.uint8)[owners.cpu().numpy()]
        if given is not None and (new_ids := [i for i in ids_in(given) if i not in self.object_ids]):
            self._add(features, given, new_ids)
            found = np.where(np.isin(given, new_ids), given, found)
        return self._result(frame, found, known)

    def _find(self, features: Features) -> tuple[Tensor, Tensor]:
        """The objects' logits in a frame, float, N×256×256, and SAM's scores of them, float, N."""
        matches = torch.cat([match_maps(features, targets) for targets in self._targets])
        prompts = self._prompts(features, self._targets, matches, self._boxes, self._has_box)
        answer = self._sam.decode(features, prompts)
        logits = weigh_scales(answer.logits, self._scale_weights)
        nothing = (logits <= 0).flatten(1).all(dim=1)
        logits = torch.where(nothing[:, None, None], answer.best()[0], logits)
        choose = partial(best_matching, matches=matches)
        logits, scores = refine(self._sam.decode, features, prompts, logits, choose)
        present = matching_share(logits > 0, matches) >= PRESENCE
        logits = torch.where(present[:, None, None], logits, _NOWHERE)
        owners = compose([logits]).where(features.geometry.inside(LOW_RES_SIZE, logits.device), 0)
        number = torch.arange(1, len(logits) + 1, device=logits.device)
        self._boxes, self._has_box = boxes_of(owners == number[:, None, None])
        return logits, scores

    def _add(self, features: Features, given: LabelMap, object_ids: Sequence[int]) -> None:
        """Learn from the frame in which objects appear what each looks like, and which scale it is."""
        device = features.tensor.device
        masks = torch.stack([torch.from_numpy(given == i) for i in object_ids])
        ignored = torch.from_numpy(given == IGNORE_ID)
        targets = learn_targets(features, masks, ignored)
        coverage = to_grid(masks, LOW_RES_SIZE).to(device)
        boxes, has_box = boxes_of(most_covered(coverage))
        prompts = self._prompts(features, [targets], match_maps(features, targets), boxes, has_box)
        counts = features.geometry.inside(LOW_RES_SIZE, device)
        counts &= (to_grid(ignored[None], LOW_RES_SIZE)[0] < 0.5).to(device)
        scale_weights = fit_scale_weights(self._sam.decode(features, prompts).logits, coverage, counts)
        self.object_ids += tuple(object_ids)
        self._targets.append(targets)
        self._boxes = torch.cat((self._boxes, boxes))
        self._has_box = torch.cat((self._has_box, has_box))
        self._scale_weights = torch.cat((self._scale_weights, scale_weights))

    @staticmethod
    def _prompts(
        features: Features, targets: Sequence[Targets], matches: Tensor, boxes: Tensor, has_box: Tensor
    ) -> Prompts:
        maps = confidence_maps(features, torch.cat([each.embeddings for each in targets]))
        return frame_prompts(location_prior(maps, matches), boxes, has_box, features)

    def _result(self, frame: Frame, label_map: LabelMap, scores: Mapping[int, float]) -> FrameResult:
        """The result for all objects; those without a score were given."""
        areas = np.bincount(label_map.ravel(), minlength=256)
        visible = {i: bool(areas[i]) for i in self.object_ids}
        return FrameResult(
            frame=frame,
            label_map=label_map,
            scores={i: min(max(scores.get(i, 1.0), 0.0), 1.0) if visible[i] else 0.0 for i in self.object_ids},
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
